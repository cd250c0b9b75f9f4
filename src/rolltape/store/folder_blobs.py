"""Blobs as files in a folder. Every touch of a file is in a thread of this store's own; memory stays bounded."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from rolltape.clock import Clock
from rolltape.store.blobs import Absent, Busy, Held, TooMuch, WrongLength, WrongOffset
from rolltape.store.holders import Holders
from rolltape.store.media_files import FolderLock, MediaFiles, check_room, make_folder, write_all

P = ParamSpec("P")
T = TypeVar("T")

_PIECE = 256 * 1024
"""How many bytes are gathered before a thread writes them, and read at once."""
_ASK_AGAIN_SECONDS = 0.05
"""How often somebody who waits asks whether another process still holds a blob."""
_SAVE_BYTES = 8 * 1024 * 1024
_SAVE_SECONDS = 5.0
"""A long append is made durable each time that this many bytes or seconds have gone by, so a crash costs no more."""


class _Threads:
    """Runs steps in threads, and never leaves one running behind a cancelled caller."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="rolltape-blobs")

    async def run(self, step: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        future = asyncio.wrap_future(self._pool.submit(step, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The file must not be touched by the next step while this one is still at it.
            while not future.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            if not future.cancelled():
                future.exception()
            raise

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown, True)


class _Pen:
    """Gathers chunks and writes them to a descriptor, never more than up to `most`."""

    def __init__(self, threads: _Threads, fd: int, at: int, most: int, room: Callable[[int], None]) -> None:
        self._threads = threads
        self._buffer = bytearray()
        self._room = room
        self.fd = fd
        self.at = at
        self.most = most

    async def take(self, chunks: AsyncIterator[bytes], after: Callable[[], None] | None = None) -> None:
        """Write all `chunks`. `after` runs in a thread behind each piece. What came is written even on an exception."""
        try:
            async for chunk in chunks:
                if self.at + len(self._buffer) + len(chunk) > self.most:
                    raise TooMuch(self.most)
                self._buffer += chunk
                if len(self._buffer) >= _PIECE:
                    await self._threads.run(self._write, after)
        finally:
            if self._buffer:
                await self._threads.run(self._write, after)

    def _write(self, after: Callable[[], None] | None) -> None:
        self._room(len(self._buffer))
        write_all(self.fd, self._buffer, self.at)
        self.at += len(self._buffer)
        self._buffer.clear()
        if after is not None:
            after()


class FolderBlob:
    """One blob in the hand of its writer; see `OpenBlob`."""

    def __init__(self, store: "FolderBlobs", files: MediaFiles) -> None:
        self._store = store
        self._files = files
        self._run = store.threads.run

    async def look(self) -> Held:
        return await self._run(self._files.look)

    async def pin(self) -> Held:
        return await self.look()  # nobody else can write while it is held

    async def append(self, offset: int, chunks: AsyncIterator[bytes], *, length: int | None) -> Held:
        held = await self.look()
        if held.whole or held.size != offset:
            raise WrongOffset(held.size)
        most = self._store.max_bytes if length is None else length
        await self._run(self._store.check_room, 0)
        fd = await self._run(self._files.open_part, offset)
        try:
            await self._append(_Pen(self._store.threads, fd, offset, most, self._store.check_room), chunks)
        finally:
            await self._run(os.close, fd)
        held = await self.look()
        return await self.seal() if held.size == length else held

    async def _append(self, pen: _Pen, chunks: AsyncIterator[bytes]) -> None:
        saved, since = pen.at, self._store.clock.monotonic()

        def save_now_and_then() -> None:
            nonlocal saved, since
            now = self._store.clock.monotonic()
            if pen.at - saved >= _SAVE_BYTES or now - since >= _SAVE_SECONDS:
                self._files.save(pen.fd, pen.at)
                saved, since = pen.at, now

        try:
            await pen.take(chunks, save_now_and_then)
        finally:
            if pen.at != saved:
                await self._run(self._files.save, pen.fd, pen.at)

    async def put(self, chunks: AsyncIterator[bytes], *, size: int | None) -> Held:
        await self._run(self._store.check_room, size or 0)
        fd = await self._run(self._files.open_incoming)
        try:
            pen = _Pen(
                self._store.threads, fd, 0, self._store.max_bytes if size is None else size, self._store.check_room
            )
            await pen.take(chunks)
            if pen.at == 0 or (size is not None and pen.at != size):
                raise WrongLength(size, pen.at)
            return await self._run(self._files.settle, fd)
        finally:
            await self._run(os.close, fd)
            await self._run(self._files.drop_incoming)

    async def seal(self) -> Held:
        return await self._run(self._files.seal)

    async def clear(self) -> None:
        await self._run(self._files.clear)

    async def sha256(self) -> str:
        return await self._run(self._files.sha256)


class FolderBlobs:
    """All blobs, under `root`; see `BlobStore` and `Passage`.

    `max_bytes` is the greatest size of one blob; `reserve_bytes` stay free on the disk, for the database needs them
    more. Several processes may use a folder, also one that machines share, where its locks hold between them.
    """

    def __init__(self, root: Path, *, max_bytes: int, reserve_bytes: int, clock: Clock, threads: int = 8) -> None:
        self.root = root
        self.clock = clock
        self.threads = _Threads(threads)
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._holders = Holders(clock)
        make_folder(root)
        make_folder(root / "incoming")
        self._lock = FolderLock(root)
        for left_over in (root / "incoming").iterdir():
            if self._lock.take(left_over.name):  # else another process is at it
                left_over.unlink(missing_ok=True)
                self._lock.let_go(left_over.name)

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    @property
    def passage(self) -> "FolderBlobs":
        return self

    @property
    def links(self) -> None:
        return None

    def check_room(self, wanted: int) -> None:
        """Raises NoRoom unless `wanted` bytes more leave the reserve free. Blocks for a moment: call it in a thread."""
        check_room(self.root, wanted, self._reserve_bytes)

    @asynccontextmanager
    async def hold(self, media_id: str, *, wait: float = 0) -> AsyncIterator[FolderBlob]:
        files = MediaFiles(self.root, media_id)
        until = self.clock.monotonic() + wait
        async with self._holders.only(media_id, wait):
            try:
                while not await self.threads.run(self._lock.take, media_id):
                    if self.clock.monotonic() >= until:
                        raise Busy
                    await self.clock.sleep(_ASK_AGAIN_SECONDS)
                yield FolderBlob(self, files)
            finally:
                self._lock.let_go(media_id)  # also where it was had just as the caller was cancelled

    async def look(self, media_id: str) -> Held:
        return await self.threads.run(MediaFiles(self.root, media_id).look)

    async def read(self, media_id: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        fd = await self.threads.run(MediaFiles(self.root, media_id).open_whole, stop)
        try:
            while start < stop:
                piece = await self.threads.run(os.pread, fd, min(_PIECE, stop - start), start)
                if not piece:
                    raise Absent
                start += len(piece)
                yield piece
        finally:
            await self.threads.run(os.close, fd)

    async def sweep(self, now: int) -> int:
        return 0  # nothing gets here but what this server has written

    async def close(self) -> None:
        await self.threads.close()
        self._lock.close()
