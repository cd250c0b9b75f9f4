"""Where the bytes of recordings live: what every blob store promises.

A blob is named by its media id and is *whole* or not. Nothing here knows recordings, requests or who is asking. There
are two kinds of stores, and each has exactly one of the two ways in:

- a `Passage`: the bytes pass through this server, appended at an offset in as many requests as the line allows, or all
  at once. What it acknowledges is on the disk: an offset that it has told anybody is still there, with the very bytes,
  after a crash of the process or of the machine.
- `Links`: the store gives URLs of its own, by which the bytes come and go without this server.
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


class Unreachable(Exception):
    """The store can't be asked now, or refuses this server. Nothing of what is there is lost; ask again later."""


class NoRoom(Exception):
    """The disk is full, or would go below the reserve that is kept free for the database."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is there: `size` bytes, durable; `whole` once no more are to come."""

    size: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Link:
    """Where to send the bytes of a blob, by one PUT with these headers."""

    url: str
    headers: dict[str, str]


class Blob(Protocol):
    """One blob in the hand of the only holder in this process. Every method may raise Unreachable."""

    async def look(self) -> Held:
        """What is there now. A blob that nobody has written to has 0 bytes."""
        ...

    async def pin(self) -> Held:
        """What is there, and stays so for this holder: whoever has a link may send other bytes, they don't count here.

        `sha256` and `seal` mean these bytes from now on.
        """
        ...

    async def sha256(self) -> str:
        """The SHA-256 of the bytes that are there, 64 lower-case hex digits, always read from where they are stored."""
        ...

    async def seal(self) -> Held:
        """Say that what is there is all: the blob is whole. Twice is fine; where there is nothing, nothing happens."""
        ...

    async def clear(self) -> None:
        """Throw the bytes away; durable when it returns. Nothing there is fine.

        In a store with links it is for good: what still comes by one is swept away.
        """
        ...


class OpenBlob(Blob, Protocol):
    """One blob in the hand of its only writer, where bytes pass through this server."""

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


class Passage(Protocol):
    """Bytes that pass through this server."""

    def hold(self, media_id: str, *, wait: float = 0) -> AbstractAsyncContextManager[OpenBlob]:
        """As `BlobStore.hold`, and to write."""
        ...

    async def look(self, media_id: str) -> Held:
        """What is there, without holding it: exact to within what its writer is doing."""
        ...

    def read(self, media_id: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to, not including, `stop` of a whole blob, in pieces of at most 256 KiB.

        Raises Absent before the first piece where there is no whole blob of at least `stop` bytes.
        """
        ...


class Links(Protocol):
    """URLs by which bytes go to and from the store itself. Each works for one direction of one blob, without a header
    that names anybody, for about `seconds`. May raise Unreachable."""

    async def upload_link(self, media_id: str, content_type: str, file_name: str, *, seconds: int) -> Link:
        """Where one PUT makes its body the bytes of a blob that isn't whole, in place of what was there."""
        ...

    async def download_link(self, media_id: str, sha256: str, *, seconds: int) -> str:
        """Where GET, with or without Range, answers the whole blob that has that hash."""
        ...


class BlobStore(Protocol):
    """All blobs."""

    @property
    def max_bytes(self) -> int:
        """The greatest size of one blob."""
        ...

    @property
    def passage(self) -> Passage | None:
        """How bytes come and go through this server; None where there are links."""
        ...

    @property
    def links(self) -> Links | None:
        """The store's own URLs; None where bytes pass through this server."""
        ...

    def hold(self, media_id: str, *, wait: float = 0) -> AbstractAsyncContextManager[Blob]:
        """Be the one holder of a blob while the context lasts. Raises Busy when somebody else still is after `wait` s.

        `media_id` is `med_` and up to 64 letters and digits; ValueError for anything else, before anything is touched.
        """
        ...

    async def sweep(self, now: int) -> int:
        """Remove what nobody wants any more at `now` (ms), such as bytes that came by a link when all was over; how
        many things it was. May raise Unreachable."""
        ...

    async def close(self) -> None:
        """Let go of threads. What is being written ends first."""
        ...
