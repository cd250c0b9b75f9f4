"""What a store promises whose bytes pass through the server: see Passage and OpenBlob."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from rolltape.store.blobs import Absent, BlobStore, Held, OpenBlob, Passage, TooMuch, WrongLength, WrongOffset
from rolltape.testing.blob_suite.any_store import MEDIA, AnyStore, chunks


class LineDropped(Exception):
    """What ends an upload that breaks off."""


async def everything(store: Passage) -> bytes:
    """The bytes of MEDIA, which is whole."""
    size = (await store.look(MEDIA)).size
    return b"".join([piece async for piece in store.read(MEDIA, 0, size)])


class PassageSuite(AnyStore):
    """All promises of a store with a passage. Name a subclass `Test…` and give it `make_store`."""

    def on_open(
        self, folder: Path, step: Callable[[OpenBlob, Passage], Awaitable[None]], max_bytes: int = 10**9
    ) -> None:
        """Runs the step on a blob in hand, to write."""

        async def run() -> None:
            store: BlobStore = self.make_store(folder, max_bytes=max_bytes)
            assert store.passage is not None
            async with store.passage.hold(MEDIA) as blob:
                await step(blob, store.passage)
            await store.close()

        asyncio.run(run())

    def test_bytes_appended_in_steps_become_the_whole_blob(self, tmp_path: Path) -> None:
        async def step(blob: OpenBlob, store: Passage) -> None:
            assert await blob.append(0, chunks(b"ab", b"cd"), length=6) == Held(4, False)
            assert await blob.append(4, chunks(b"ef"), length=6) == Held(6, True)
            assert await everything(store) == b"abcdef"
            assert await blob.sha256() == hashlib.sha256(b"abcdef").hexdigest()

        self.on_open(tmp_path, step)

    def test_bytes_of_a_broken_append_are_kept(self, tmp_path: Path) -> None:
        async def step(blob: OpenBlob, store: Passage) -> None:
            with pytest.raises(LineDropped):
                await blob.append(0, chunks(b"kept", then=LineDropped()), length=10)
            assert await blob.look() == Held(4, False)

        self.on_open(tmp_path, step)

    def test_bytes_of_a_cancelled_append_are_kept(self, tmp_path: Path) -> None:
        async def endless(started: asyncio.Event) -> AsyncIterator[bytes]:
            yield b"kept"
            started.set()
            await asyncio.Event().wait()

        async def step(blob: OpenBlob, store: Passage) -> None:
            started = asyncio.Event()
            task = asyncio.ensure_future(blob.append(0, endless(started), length=10))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await blob.look() == Held(4, False)

        self.on_open(tmp_path, step)

    def test_bytes_can_only_be_added_where_the_blob_ends(self, tmp_path: Path) -> None:
        async def step(blob: OpenBlob, store: Passage) -> None:
            await blob.append(0, chunks(b"abcd"), length=None)
            for offset in (0, 3, 5):
                with pytest.raises(WrongOffset) as refused:
                    await blob.append(offset, chunks(b"x"), length=None)
                assert refused.value.size == 4
            assert await blob.look() == Held(4, False)

        self.on_open(tmp_path, step)

    def test_never_more_than_the_length_is_written(self, tmp_path: Path) -> None:
        async def step(blob: OpenBlob, store: Passage) -> None:
            with pytest.raises(TooMuch):
                await blob.append(0, chunks(b"abc", b"def"), length=5)
            assert await blob.look() == Held(3, False)
            with pytest.raises(TooMuch):
                await blob.put(chunks(b"abcdef"), size=5)
            assert await blob.look() == Held(3, False)

        self.on_open(tmp_path, step)

    def test_never_more_than_the_greatest_size_is_written(self, tmp_path: Path) -> None:
        async def step(blob: OpenBlob, store: Passage) -> None:
            with pytest.raises(TooMuch):
                await blob.append(0, chunks(b"12345", b"6"), length=None)
            assert await blob.look() == Held(5, False)
            with pytest.raises(TooMuch):
                await blob.put(chunks(b"123456"), size=None)

        self.on_open(tmp_path, step, max_bytes=5)

    def test_a_put_that_breaks_off_leaves_what_was_there(self, tmp_path: Path) -> None:
        async def step(blob: OpenBlob, store: Passage) -> None:
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

        self.on_open(tmp_path, step)

    def test_a_put_replaces_what_was_there(self, tmp_path: Path) -> None:
        async def step(blob: OpenBlob, store: Passage) -> None:
            await blob.append(0, chunks(b"prefix"), length=10)
            assert await blob.put(chunks(b"all ", b"of it"), size=None) == Held(9, True)
            assert await everything(store) == b"all of it"
            assert await blob.put(chunks(b"other"), size=5) == Held(5, True)
            assert await everything(store) == b"other"

        self.on_open(tmp_path, step)

    def test_an_empty_put_is_refused(self, tmp_path: Path) -> None:
        async def step(blob: OpenBlob, store: Passage) -> None:
            with pytest.raises(WrongLength):
                await blob.put(chunks(), size=None)
            assert await blob.look() == Held(0, False)

        self.on_open(tmp_path, step)

    def test_sealing_makes_a_prefix_the_whole_and_twice_is_fine(self, tmp_path: Path) -> None:
        async def step(blob: OpenBlob, store: Passage) -> None:
            assert await blob.seal() == Held(0, False)
            await blob.append(0, chunks(b"abc"), length=None)
            assert await blob.seal() == Held(3, True)
            assert await blob.seal() == Held(3, True)
            with pytest.raises(WrongOffset):
                await blob.append(3, chunks(b"d"), length=None)

        self.on_open(tmp_path, step)

    def test_clearing_leaves_no_file(self, tmp_path: Path) -> None:
        async def step(blob: OpenBlob, store: Passage) -> None:
            await blob.clear()
            await blob.append(0, chunks(b"abc"), length=None)
            await blob.clear()
            assert await blob.look() == Held(0, False)
            await blob.put(chunks(b"abc"), size=3)
            await blob.clear()
            assert await blob.look() == Held(0, False)

        self.on_open(tmp_path, step)

    def test_a_range_is_read_from_a_whole_blob_alone(self, tmp_path: Path) -> None:
        data = os.urandom(700_000)

        async def step(blob: OpenBlob, store: Passage) -> None:
            await blob.append(0, chunks(data[:10]), length=len(data))
            with pytest.raises(Absent):
                await anext(store.read(MEDIA, 0, 10))
            await blob.put(chunks(data), size=None)
            assert b"".join([piece async for piece in store.read(MEDIA, 5, 600_001)]) == data[5:600_001]
            with pytest.raises(Absent):
                await anext(store.read(MEDIA, 0, len(data) + 1))

        self.on_open(tmp_path, step)
