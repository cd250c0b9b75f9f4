"""Where the bytes of recordings live: what every blob store promises.

A blob is named by its media id and is *whole* or not. Bytes arrive in one of two ways: appended at an offset, in as
many requests as the line allows, or all at once. Nothing here knows recordings, requests or who is asking.

What is acknowledged is on the disk: an offset that a store has told anybody is still there, with the very bytes, after
a crash of the process or of the machine.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


class Busy(Exception):
    """Somebody else is writing this blob."""


class Absent(Exception):
    """There is no whole blob of that id."""


class TooMuch(Exception):
    """More bytes came than were allowed. `most` is what was allowed."""

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most} bytes")
        self.most = most


class WrongLength(Exception):
    """All bytes were to be `expected` (None: any, but not none at all); `got` came. Nothing was kept."""

    def __init__(self, expected: int | None, got: int) -> None:
        super().__init__(f"expected {expected} bytes, got {got}")
        self.expected = expected
        self.got = got


class WrongOffset(Exception):
    """The blob ends at `size`, so bytes can only be added there."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the blob has {size} bytes")
        self.size = size


class NoRoom(Exception):
    """The disk is full, or would go below the reserve that is kept free for the database."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is there: `size` bytes, durable; `whole` once no more are to come."""

    size: int
    whole: bool


class Blob(Protocol):
    """One blob in the hand of its only writer."""

    async def look(self) -> Held:
        """What is there now. A blob that nobody has written to has 0 bytes."""
        ...

    async def append(self, offset: int, chunks: AsyncIterator[bytes], *, length: int | None) -> Held:
        """Add `chunks` at `offset`, which must be where the blob ends.

        `length` is the size of the whole blob where it is known: reaching it makes the blob whole. A chunk that goes
        beyond it (or beyond the store's greatest size) isn't written, and ends the call. Whatever ends the call, be it
        an exception out of `chunks` or a cancelled task, the bytes that came are kept and durable.
        Raises WrongOffset, TooMuch, NoRoom, and what `chunks` raises.
        """
        ...

    async def put(self, chunks: AsyncIterator[bytes], *, size: int | None) -> Held:
        """Make `chunks` the whole blob, in place of what was there; all or nothing.

        `size` is how many bytes there must be in the end (None: any number but 0). Whatever else ends the call, the
        blob is as it was before. Raises WrongLength, TooMuch, NoRoom, and what `chunks` raises.
        """
        ...

    async def seal(self) -> Held:
        """Say that what is there is all: the blob is whole. Twice is fine."""
        ...

    async def clear(self) -> None:
        """Throw the bytes away; durable when it returns. Nothing there is fine."""
        ...

    async def sha256(self) -> str:
        """The SHA-256 of the bytes that are there, 64 lower-case hex digits, always read from the disk."""
        ...


class BlobStore(Protocol):
    """All blobs."""

    @property
    def max_bytes(self) -> int:
        """The greatest size of one blob."""
        ...

    def hold(self, media_id: str, *, wait: float = 0) -> AbstractAsyncContextManager[Blob]:
        """Be the one writer of a blob while the context lasts. Raises Busy when somebody else still is after `wait` s.

        `media_id` is `med_` and up to 64 letters and digits; ValueError for anything else, before any file is touched.
        """
        ...

    async def look(self, media_id: str) -> Held:
        """What is there, without holding it: exact to within what its writer is doing."""
        ...

    def read(self, media_id: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to, not including, `stop` of a whole blob, in pieces of at most 256 KiB.

        Raises Absent before the first piece where there is no whole blob of at least `stop` bytes.
        """
        ...

    async def close(self) -> None:
        """Let go of threads. What is being written ends first."""
        ...
