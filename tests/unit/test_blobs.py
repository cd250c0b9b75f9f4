"""What a folder of blobs does with its files, beyond the promises of every blob store (tests/conformance)."""

import asyncio
import hashlib
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from rolltape.clock import SystemClock
from rolltape.store.blobs import Held, NoRoom, WrongLength
from rolltape.store.folder_blobs import FolderBlob, FolderBlobs
from rolltape.store.media_files import MediaFiles
from rolltape.testing.blob_suite.any_store import BAD_NAMES, MEDIA, chunks
from rolltape.testing.blob_suite.passage import everything


def blobs_in(root: Path, *, max_bytes: int = 10**9, reserve_bytes: int = 0) -> FolderBlobs:
    return FolderBlobs(root / "media", max_bytes=max_bytes, reserve_bytes=reserve_bytes, clock=SystemClock())


def on_blob(root: Path, step: Callable[[FolderBlob, FolderBlobs], Awaitable[None]], **limits: int) -> None:
    async def run() -> None:
        store = blobs_in(root, **limits)
        async with store.hold(MEDIA) as blob:
            await step(blob, store)
        await store.close()

    asyncio.run(run())


def files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "media").rglob("*") if path.is_file() and path.name != "lock")


def test_no_more_files_are_there_than_the_bytes_need(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        await blob.append(0, chunks(b"so"), length=5)
        with pytest.raises(WrongLength):
            await blob.put(chunks(b"too short"), size=10)
        assert files(tmp_path) == [f"{MEDIA}.mark", f"{MEDIA}.part"]
        await blob.append(2, chunks(b"und"), length=5)
        assert files(tmp_path) == [MEDIA]
        await blob.put(chunks(b"other"), size=5)
        assert files(tmp_path) == [MEDIA]
        await blob.clear()
        assert files(tmp_path) == []

    on_blob(tmp_path, step)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_climbs_touches_no_file(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        store = blobs_in(tmp_path)
        with pytest.raises(ValueError, match="media id"):
            await store.look(name)
        await store.close()

    asyncio.run(run())
    assert files(tmp_path) == []


def test_the_reserve_on_the_disk_stays_free(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        with pytest.raises(NoRoom):
            await blob.append(0, chunks(b"abc"), length=None)
        with pytest.raises(NoRoom):
            await blob.put(chunks(b"abc"), size=None)
        assert await blob.look() == Held(0, False)

    on_blob(tmp_path, step, reserve_bytes=2**60)


def test_files_are_for_the_server_alone(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        await blob.append(0, chunks(b"abc"), length=None)

    on_blob(tmp_path, step)
    for path in (tmp_path / "media").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_tail_that_was_never_acknowledged_does_not_count(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        await blob.append(0, chunks(b"abcd"), length=None)
        part = MediaFiles(store.root, MEDIA).part
        part.write_bytes(part.read_bytes() + b"\0" * 5000)  # what a power cut may leave behind
        assert await blob.look() == Held(4, False)
        assert await blob.sha256() == hashlib.sha256(b"abcd").hexdigest()
        assert await blob.append(4, chunks(b"ef"), length=6) == Held(6, True)
        assert await everything(store) == b"abcdef"

    on_blob(tmp_path, step)


@pytest.mark.parametrize("broken", [b"", b"\xff" * 12, b"\0" * 11])
def test_a_broken_mark_means_beginning_anew(tmp_path: Path, broken: bytes) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        await blob.append(0, chunks(b"abcd"), length=None)
        MediaFiles(store.root, MEDIA).mark.write_bytes(broken)
        assert await blob.look() == Held(0, False)
        assert await blob.append(0, chunks(b"again"), length=5) == Held(5, True)
        assert await everything(store) == b"again"

    on_blob(tmp_path, step)


def test_what_was_coming_in_when_the_server_died_is_swept_at_start(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        (store.root / "incoming" / MEDIA).write_bytes(b"half")

    on_blob(tmp_path, step)
    assert files(tmp_path) == [MEDIA]

    async def again(blob: FolderBlob, store: FolderBlobs) -> None:
        assert await blob.look() == Held(0, False)

    on_blob(tmp_path, again)
    assert files(tmp_path) == []


def test_a_long_append_is_durable_as_it_goes(tmp_path: Path) -> None:
    piece = b"x" * (1024 * 1024)

    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        async def watched() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield piece
            assert (await store.look(MEDIA)).size >= 8 * len(piece)

        await blob.append(0, watched(), length=None)

    on_blob(tmp_path, step)
