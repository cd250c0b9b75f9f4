"""The promises of store/blobs.py, on real files."""

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from rolltape.clock import SystemClock
from rolltape.store.blobs import Absent, Busy, Held, NoRoom, TooMuch, WrongLength, WrongOffset
from rolltape.store.folder_blobs import FolderBlob, FolderBlobs
from rolltape.store.media_files import MediaFiles

MEDIA = "med_0123456789abcdefghijXY"


class LineDropped(Exception):
    pass


def blobs_in(root: Path, *, max_bytes: int = 10**9, reserve_bytes: int = 0) -> FolderBlobs:
    return FolderBlobs(root / "media", max_bytes=max_bytes, reserve_bytes=reserve_bytes, clock=SystemClock())


async def chunks(*parts: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if then is not None:
        raise then


def on_blob(root: Path, step: Callable[[FolderBlob, FolderBlobs], Awaitable[None]], **limits: int) -> None:
    async def run() -> None:
        store = blobs_in(root, **limits)
        async with store.hold(MEDIA) as blob:
            await step(blob, store)
        await store.close()

    asyncio.run(run())


async def everything(store: FolderBlobs) -> bytes:
    size = (await store.look(MEDIA)).size
    return b"".join([piece async for piece in store.read(MEDIA, 0, size)])


def files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "media").rglob("*") if path.is_file())


def test_bytes_appended_in_steps_become_the_whole_blob(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        assert await blob.append(0, chunks(b"ab", b"cd"), length=6) == Held(4, False)
        assert await blob.append(4, chunks(b"ef"), length=6) == Held(6, True)
        assert await everything(store) == b"abcdef"
        assert await blob.sha256() == hashlib.sha256(b"abcdef").hexdigest()

    on_blob(tmp_path, step)
    assert files(tmp_path) == [MEDIA]


def test_bytes_of_a_broken_append_are_kept(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        with pytest.raises(LineDropped):
            await blob.append(0, chunks(b"kept", then=LineDropped()), length=10)
        assert await blob.look() == Held(4, False)

    on_blob(tmp_path, step)


def test_bytes_of_a_cancelled_append_are_kept(tmp_path: Path) -> None:
    async def endless(started: asyncio.Event) -> AsyncIterator[bytes]:
        yield b"kept"
        started.set()
        await asyncio.Event().wait()

    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        started = asyncio.Event()
        task = asyncio.ensure_future(blob.append(0, endless(started), length=10))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await blob.look() == Held(4, False)

    on_blob(tmp_path, step)


def test_bytes_can_only_be_added_where_the_blob_ends(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        await blob.append(0, chunks(b"abcd"), length=None)
        for offset in (0, 3, 5):
            with pytest.raises(WrongOffset) as refused:
                await blob.append(offset, chunks(b"x"), length=None)
            assert refused.value.size == 4
        assert await blob.look() == Held(4, False)

    on_blob(tmp_path, step)


def test_never_more_than_the_length_is_written(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        with pytest.raises(TooMuch):
            await blob.append(0, chunks(b"abc", b"def"), length=5)
        assert await blob.look() == Held(3, False)
        with pytest.raises(TooMuch):
            await blob.put(chunks(b"abcdef"), size=5)
        assert await blob.look() == Held(3, False)

    on_blob(tmp_path, step)


def test_never_more_than_the_greatest_size_is_written(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        with pytest.raises(TooMuch):
            await blob.append(0, chunks(b"12345", b"6"), length=None)
        assert await blob.look() == Held(5, False)
        with pytest.raises(TooMuch):
            await blob.put(chunks(b"123456"), size=None)

    on_blob(tmp_path, step, max_bytes=5)


def test_a_put_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        await blob.append(0, chunks(b"prefix"), length=10)
        for broken, error in (
            (chunks(b"abc", then=LineDropped()), LineDropped),
            (chunks(b"too short"), WrongLength),
            (chunks(b"much too long"), TooMuch),
            (chunks(), WrongLength),
        ):
            with pytest.raises(error):
                await blob.put(broken, size=10)
            assert await blob.look() == Held(6, False)

    on_blob(tmp_path, step)
    assert files(tmp_path) == [f"{MEDIA}.mark", f"{MEDIA}.part"]


def test_a_put_replaces_what_was_there(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        await blob.append(0, chunks(b"prefix"), length=10)
        assert await blob.put(chunks(b"all ", b"of it"), size=None) == Held(9, True)
        assert await everything(store) == b"all of it"
        assert await blob.put(chunks(b"other"), size=5) == Held(5, True)
        assert await everything(store) == b"other"

    on_blob(tmp_path, step)
    assert files(tmp_path) == [MEDIA]


def test_an_empty_put_is_refused(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        with pytest.raises(WrongLength):
            await blob.put(chunks(), size=None)
        assert await blob.look() == Held(0, False)

    on_blob(tmp_path, step)


def test_sealing_makes_a_prefix_the_whole_and_twice_is_fine(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        assert await blob.seal() == Held(0, False)
        await blob.append(0, chunks(b"abc"), length=None)
        assert await blob.seal() == Held(3, True)
        assert await blob.seal() == Held(3, True)
        with pytest.raises(WrongOffset):
            await blob.append(3, chunks(b"d"), length=None)

    on_blob(tmp_path, step)


def test_clearing_leaves_no_file(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        await blob.clear()
        await blob.append(0, chunks(b"abc"), length=None)
        await blob.clear()
        assert await blob.look() == Held(0, False)
        await blob.put(chunks(b"abc"), size=3)
        await blob.clear()
        assert await blob.look() == Held(0, False)

    on_blob(tmp_path, step)
    assert files(tmp_path) == []


def test_a_range_is_read_from_a_whole_blob_alone(tmp_path: Path) -> None:
    data = os.urandom(700_000)

    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        await blob.append(0, chunks(data[:10]), length=len(data))
        with pytest.raises(Absent):
            await anext(store.read(MEDIA, 0, 10))
        await blob.put(chunks(data), size=None)
        assert b"".join([piece async for piece in store.read(MEDIA, 5, 600_001)]) == data[5:600_001]
        with pytest.raises(Absent):
            await anext(store.read(MEDIA, 0, len(data) + 1))

    on_blob(tmp_path, step)


def test_a_blob_has_one_writer_at_a_time(tmp_path: Path) -> None:
    async def step(blob: FolderBlob, store: FolderBlobs) -> None:
        with pytest.raises(Busy):
            async with store.hold(MEDIA):
                pass
        with pytest.raises(Busy):
            async with store.hold(MEDIA, wait=0.01):
                pass
        async with store.hold(MEDIA[:-1] + "Z"):
            pass

    on_blob(tmp_path, step)


def test_who_waits_gets_the_blob_when_its_writer_lets_go(tmp_path: Path) -> None:
    async def run() -> None:
        store = blobs_in(tmp_path)
        async with store.hold(MEDIA):
            waiter = asyncio.ensure_future(store.hold(MEDIA, wait=30).__aenter__())
            await asyncio.sleep(0)
        assert isinstance(await waiter, FolderBlob)
        await store.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "name", ["../med_x", "med_../../etc/passwd", "med_", "med_a/b", "med_a\0b", "rec_abc", "", "med_é"]
)
def test_a_name_that_climbs_touches_no_file(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        store = blobs_in(tmp_path)
        with pytest.raises(ValueError, match="media id"):
            await store.look(name)
        with pytest.raises(ValueError, match="media id"):
            async with store.hold(name):
                pass
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
