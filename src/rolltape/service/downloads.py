"""Bytes on their way out, by a signed URL alone."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from rolltape.codes import Code, Problem
from rolltape.domain.recordings import RecordingRow
from rolltape.service import signed_urls
from rolltape.service.storage import passage
from rolltape.service.uploads import url_key

if TYPE_CHECKING:
    from rolltape.service.context import Services


async def open_download(app: "Services", media_id: str, query: bytes, now: int) -> RecordingRow:
    """The recording whose bytes the URL gives. Raises Problem: forbidden, not_found, upload_incomplete."""
    passage(app)
    tenant_n, _ = signed_urls.check(url_key(app), "down", media_id, query, now)
    row = await app.store.recording_of_media(tenant_n, media_id)
    if row.status != "uploaded":
        raise incomplete(row)
    return row


def read(app: "Services", media_id: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
    """The bytes from `start` up to, not including, `stop`. Raises store.blobs.Absent where they aren't there."""
    return passage(app).read(media_id, start, stop)


def incomplete(row: RecordingRow) -> Problem:
    """The answer to who wants bytes that aren't all in, or aren't known to be right."""
    return Problem(
        Code.UPLOAD_INCOMPLETE,
        "The recording's bytes aren't all in and checked. Wait for the event recording.uploaded.",
        details={"status": row.status},
    )
