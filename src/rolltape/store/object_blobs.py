"""Blobs as objects in S3, Google Cloud Storage or Azure: bytes come and go by the store's own presigned URLs.

An object that somebody holds a link to can change until the link ends, so what is checked must not be that object. A
blob `med_…XY` has, under the prefix:

- `incoming/med_…XY`: what the last PUT by a link has sent;
- `checking/med_…XY.<random>`: a copy that nobody has a link to, for the time of a check: this one is hashed;
- `XY/med_…XY/<sha256>`: the whole blob, copied from there under the name of its own hash, so that two servers which
  complete the same blob at once can't put other bytes in each other's place;
- `done/med_…XY` and `gone/med_…XY`: empty marks that all is over. A day later, when every link has ended and no slow
  PUT can still arrive, `sweep` removes what came meanwhile, and the mark.

Copies are made by the store itself; what this server reads is hashed in pieces, so memory stays bounded.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rolltape.clock import Clock
from rolltape.store.blobs import Held, Link, Unreachable
from rolltape.store.holders import Holders
from rolltape.store.object_calls import ObjectCalls, Stored
from rolltape.wire.ids import is_id

KEEP_MS = 86_400_000
"""How long marks stay, and what a crash has left behind: much longer than any link works."""
_PIECE = 4 * 1024 * 1024
_HASHED_AT_ONCE = 4
"""Two pieces each: at most 32 MiB, and half of the threads."""
_EMPTY_SHA256 = hashlib.sha256().hexdigest()
_SWEPT_AT_ONCE = 100


class _Keys:
    """The names of one blob's objects."""

    def __init__(self, media_id: str) -> None:
        if not is_id("med", media_id):
            raise ValueError("not a media id")
        self.incoming = f"incoming/{media_id}"
        self.checking = f"checking/{media_id}."
        self.done = f"done/{media_id}"
        self.gone = f"gone/{media_id}"
        self.wholes = f"{media_id[-2:]}/{media_id}"

    def whole(self, sha256: str) -> str:
        return f"{self.wholes}/{sha256}"


@dataclass(frozen=True, slots=True)
class _Pinned:
    key: str
    size: int


class ObjectBlob:
    """One blob in the hand of its holder; see `Blob`."""

    def __init__(self, store: "ObjectBlobs", keys: _Keys) -> None:
        self._store = store
        self._calls = store.calls
        self._keys = keys
        self._pinned: _Pinned | None = None
        self._sha256: str | None = None
        self._sealed = False

    async def look(self) -> Held:
        there = await self._there()
        # Never whole before it is sealed: until then another PUT may replace what is there.
        return Held(there.size if there else 0, whole=False)

    async def _there(self) -> Stored | None:
        """What was sent last; or what was sealed by a server that ended before anybody could note it."""
        sent = await self._calls.head(self._keys.incoming)
        if sent is not None:
            return sent
        return max(await self._calls.listed(self._keys.wholes), key=lambda one: one.changed_ms, default=None)

    async def pin(self) -> Held:
        if self._pinned is None and (there := await self._there()) is not None:
            key = self._keys.checking + secrets.token_hex(8)
            if await self._calls.copy(there.key, key):
                # Its size is asked of the copy: a PUT may have come between.
                copy = await self._calls.head(key)
                self._pinned = None if copy is None else _Pinned(key, copy.size)
        return Held(self._pinned.size if self._pinned else 0, whole=False)

    async def sha256(self) -> str:
        if self._sha256 is None:
            await self.pin()
            if self._pinned is None:
                return _EMPTY_SHA256
            self._sha256 = await self._store.hash(self._pinned.key, self._pinned.size)
        return self._sha256

    async def seal(self) -> Held:
        sha256 = await self.sha256()
        if self._pinned is None or self._pinned.size == 0:
            return Held(0, whole=False)
        if not await self._calls.copy(self._pinned.key, self._keys.whole(sha256)):
            raise Unreachable("the copy under check is gone")
        self._sealed = True
        return Held(self._pinned.size, whole=True)

    async def clear(self) -> None:
        self._sealed = False
        await self._calls.put(self._keys.gone, b"")
        await self._store.remove(self._keys)

    async def let_go(self, *, well: bool) -> None:
        """Remove what the check needed, and, where all went `well`, what was sent: the whole blob is elsewhere now."""
        no_more = [self._pinned.key] if self._pinned else []
        with suppress(Unreachable):  # `sweep` comes after it
            if well and self._sealed:
                await self._calls.put(self._keys.done, b"")
                no_more.append(self._keys.incoming)
            await self._calls.delete(no_more)


class ObjectBlobs:
    """All blobs, under one prefix of a bucket; see `BlobStore` and `Links`. Any number of servers may share it."""

    def __init__(self, calls: ObjectCalls, *, max_bytes: int, clock: Clock) -> None:
        self.calls = calls
        self._max_bytes = max_bytes
        self._holders = Holders(clock)
        self._hashing = asyncio.Semaphore(_HASHED_AT_ONCE)

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    @property
    def passage(self) -> None:
        return None

    @property
    def links(self) -> "ObjectBlobs":
        return self

    @asynccontextmanager
    async def hold(self, media_id: str, *, wait: float = 0) -> AsyncIterator[ObjectBlob]:
        keys = _Keys(media_id)
        async with self._holders.only(media_id, wait):
            blob = ObjectBlob(self, keys)
            well = False
            try:
                yield blob
                well = True
            finally:
                await blob.let_go(well=well)

    async def upload_link(self, media_id: str, content_type: str, file_name: str, *, seconds: int) -> Link:
        url = await self.calls.sign("PUT", _Keys(media_id).incoming, seconds)
        return Link(url, self.calls.headers(content_type, file_name))

    async def download_link(self, media_id: str, sha256: str, *, seconds: int) -> str:
        return await self.calls.sign("GET", _Keys(media_id).whole(sha256), seconds)

    async def adopt(self, media_id: str, file: Path, content_type: str, file_name: str, sha256: str | None) -> None:
        """Take a file over: as the whole blob, where its hash is given and right, or else as what was sent."""
        keys = _Keys(media_id)
        key = keys.incoming if sha256 is None else keys.whole(sha256)
        await self.calls.put_file(key, file, content_type, file_name)

    async def wholes(self) -> set[tuple[str, str]]:
        """Media id and hash of every whole blob."""
        names = [one.key.split("/") for one in await self.calls.listed(None)]
        return {(name[1], name[2]) for name in names if len(name) == 3}

    async def hash(self, key: str, size: int) -> str:
        """The SHA-256 of an object of `size` bytes, in hex; the next piece is fetched while one is hashed."""
        digest = hashlib.sha256()
        async with self._hashing:
            coming = asyncio.ensure_future(self._piece(key, 0, size))
            try:
                for start in range(0, size, _PIECE):
                    piece = await coming
                    coming = asyncio.ensure_future(self._piece(key, start + _PIECE, size))
                    await self.calls.run(digest.update, piece)
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
        return digest.hexdigest()

    async def _piece(self, key: str, start: int, size: int) -> bytes:
        return await self.calls.read(key, start, min(start + _PIECE, size)) if start < size else b""

    async def remove(self, keys: _Keys) -> None:
        """Delete all that counts of a blob."""
        wholes = await self.calls.listed(keys.wholes)
        await self.calls.delete([keys.incoming, keys.done, *(one.key for one in wholes)])

    async def sweep(self, now: int) -> int:
        old = now - KEEP_MS
        done = 0
        for batch in _batches(await self.calls.listed("done", before=old)):
            late = [key for mark in batch for key in (f"incoming/{_name(mark)}", mark.key)]
            await self.calls.delete(late)
            done += len(batch)
        for mark in await self.calls.listed("gone", before=old):
            await self.remove(_Keys(_name(mark)))
            await self.calls.delete([mark.key])
            done += 1
        for batch in _batches(await self.calls.listed("checking", before=old)):
            await self.calls.delete([one.key for one in batch])
            done += len(batch)
        return done

    async def close(self) -> None:
        self.calls.close()


def _name(mark: Stored) -> str:
    return mark.key.rpartition("/")[2]


def _batches(all_of_them: Sequence[Stored]) -> list[Sequence[Stored]]:
    return [all_of_them[i : i + _SWEPT_AT_ONCE] for i in range(0, len(all_of_them), _SWEPT_AT_ONCE)]
