"""Bytes on their way in: what may be written where, by a signed URL alone.

Nobody is asked who he is here: the URL says which media it is for. Whether bytes may come is decided while the media is
held, so that two uploads, or an upload and a completion, or a deletion, never cross.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolltape.codes import Code, Problem
from rolltape.domain import recordings as domain
from rolltape.domain.recordings import RecordingRow, Stored
from rolltape.service import signed_urls
from rolltape.service.storage import passage
from rolltape.store.blobs import Busy, Held, NoRoom, OpenBlob, TooMuch, WrongLength, WrongOffset
from rolltape.store.recordings import NewMedia

if TYPE_CHECKING:
    from rolltape.service.context import Services

RETRY_FULL_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a signed URL allows: this media, until `expires_at` (ms)."""

    tenant_n: int
    media_id: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload has got: `offset` bytes are in, of `length` (None: nobody has said yet)."""

    offset: int
    length: int | None


def url_key(app: "Services") -> bytes:
    """The key under which URLs are signed."""
    return app.vault.derive(b"upload-urls")


def open_ticket(app: "Services", media_id: str, query: bytes, now: int) -> Ticket:
    """What the URL allows. Raises Problem: forbidden, not_found (also where bytes don't pass through this server)."""
    passage(app)
    tenant_n, expires_at = signed_urls.check(url_key(app), "up", media_id, query, now)
    return Ticket(tenant_n, media_id, expires_at)


def stored(held: Held) -> Stored:
    """What a blob store says, as the domain takes it."""
    return Stored(held.size, held.whole)


async def progress(app: "Services", ticket: Ticket) -> Progress:
    """How far it is. What the offset counts is on the disk. Raises Problem: not_found."""
    row = await app.store.recording_of_media(ticket.tenant_n, ticket.media_id)
    held = await passage(app).look(ticket.media_id)
    return _progress(row, held)


def _progress(row: RecordingRow, held: Held) -> Progress:
    return Progress(held.size, held.size if held.whole else row.declared_size)


async def put(
    app: "Services", ticket: Ticket, content_type: str, content_length: int | None, chunks: AsyncIterator[bytes]
) -> int:
    """All bytes at once, or nothing: how many they are.

    Raises Problem: invalid_request (type or length), payload_too_large, upload_conflict, unavailable, not_found; and
    what `chunks` raises.
    """
    async with _held(app, ticket) as (blob, row):
        if content_type != row.content_type:
            raise Problem(
                Code.INVALID_REQUEST, f"This upload was announced as {row.content_type}.", param="Content-Type"
            )
        held = await blob.look()
        if row.status != "integrity_failure" and domain.is_complete(row, stored(held)):
            raise all_in(row)
        _check_length(row.declared_size, content_length, app.blobs.max_bytes)
        with _explained(row.declared_size):
            return (await blob.put(chunks, size=row.declared_size)).size


def _check_length(declared: int | None, coming: int | None, most: int) -> None:
    if coming is None:
        return
    if declared is not None and coming != declared:
        raise wrong_length(declared, coming)
    if coming > most:
        raise too_large(most)


async def patch(
    app: "Services",
    ticket: Ticket,
    *,
    offset: int,
    length: int | None,
    content_length: int | None,
    chunks: AsyncIterator[bytes],
) -> Progress:
    """Bytes from `offset` on; what came is kept, whatever ends it. `length` says how many there will be in the end.

    Raises Problem: invalid_request (length), payload_too_large, upload_conflict (not the offset, somebody else is
    writing, or all are in), unavailable, not_found; and what `chunks` raises.
    """
    async with _held(app, ticket) as (blob, announced):
        row = await _settle_length(app, ticket, announced, offset, length)
        held = await blob.look()
        if row.status == "integrity_failure" and offset == 0 and held.size:
            # The bytes that are there are wrong: beginning at 0 again is how tus can replace them.
            await blob.clear()
            held = await blob.look()
        if held.size != offset:
            raise wrong_offset(held.size)
        if held.whole:
            if content_length == 0:
                return _progress(row, held)
            raise all_in(row)
        _check_fits(row.declared_size, offset, content_length, app.blobs.max_bytes)
        try:
            with _explained(row.declared_size):
                held = await blob.append(offset, chunks, length=row.declared_size)
        except WrongOffset as error:
            raise wrong_offset(error.size) from None
        return _progress(row, held)


def _check_fits(declared: int | None, offset: int, coming: int | None, most: int) -> None:
    if coming is None:
        return
    if declared is not None and offset + coming > declared:
        raise wrong_length(declared, offset + coming)
    if offset + coming > most:
        raise too_large(most)


async def _settle_length(
    app: "Services", ticket: Ticket, row: RecordingRow, offset: int, length: int | None
) -> RecordingRow:
    """Takes note of an Upload-Length that comes with a PATCH, for an upload whose length was open."""
    if length is None or length == row.declared_size:
        return row
    if row.declared_size is not None or length < max(offset, 1):
        raise wrong_length(row.declared_size, length, param="Upload-Length")
    if length > app.blobs.max_bytes:
        raise too_large(app.blobs.max_bytes)
    assert row.content_type is not None
    return await app.store.change_media(ticket.tenant_n, NewMedia(ticket.media_id, row.content_type, length))


@asynccontextmanager
async def _held(app: "Services", ticket: Ticket) -> AsyncIterator[tuple[OpenBlob, RecordingRow]]:
    """Holds the media, and reads its recording only then. Refuses one that is uploaded."""
    try:
        async with passage(app).hold(ticket.media_id) as blob:
            row = await app.store.recording_of_media(ticket.tenant_n, ticket.media_id)
            if row.status == "uploaded":
                raise all_in(row)
            yield blob, row
    except Busy:
        raise busy() from None


@contextmanager
def _explained(declared: int | None) -> Iterator[None]:
    """Turns what the blob store refuses into what the caller is told."""
    try:
        yield
    except WrongLength as error:
        raise wrong_length(error.expected, error.got) from None
    except TooMuch as error:
        raise (too_large(error.most) if declared is None else wrong_length(declared, None)) from None
    except NoRoom:
        raise no_room() from None


def wrong_length(declared: int | None, got: int | None, *, param: str | None = None) -> Problem:
    """The refusal of more or fewer bytes than were announced."""
    came = "More came" if got is None else f"{got} came" if got else "None came"
    expected = "At least one byte was to come" if declared is None else f"{declared} bytes were announced in all"
    return Problem(
        Code.INVALID_REQUEST,
        f"{expected}. {came}. Send exactly what was announced, or ask for the upload URL with another file_size_bytes.",
        param=param,
        details={"file_size_bytes": declared},
    )


def too_large(most: int) -> Problem:
    """The refusal of a file over the server's limit."""
    return Problem(
        Code.PAYLOAD_TOO_LARGE,
        f"A file may have up to {most} bytes on this server. The operator can raise the limit.",
        details={"limit_bytes": most},
    )


def wrong_offset(size: int) -> Problem:
    """The refusal of bytes that don't go on where the upload is."""
    return Problem(
        Code.UPLOAD_CONFLICT,
        f"The upload is at byte {size}. Go on from there; HEAD tells the offset at any time.",
        param="Upload-Offset",
        details={"offset": size},
    )


def busy() -> Problem:
    """The refusal of a second writer."""
    return Problem(
        Code.UPLOAD_CONFLICT,
        "Another request is writing or checking this upload. Wait until it is over, ask HEAD where to go on.",
        details={"retry_after": 1},
    )


def all_in(row: RecordingRow) -> Problem:
    """The refusal of bytes for an upload that has all of them."""
    return Problem(
        Code.UPLOAD_CONFLICT,
        "All bytes of this upload are in already. Call upload-complete, or make a new recording for other bytes.",
        details={"status": row.status},
    )


def no_room() -> Problem:
    """The answer of a full disk."""
    return Problem(
        Code.UNAVAILABLE,
        "The server's disk is full. Keep the recording and try again later; the bytes that are in are kept.",
        details={"retry_after": RETRY_FULL_SECONDS},
    )
