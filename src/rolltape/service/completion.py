"""The end of an upload: what the caller says of the bytes is held against the bytes themselves."""

from typing import TYPE_CHECKING

from rolltape.codes import Code, Problem
from rolltape.domain import recordings as domain
from rolltape.domain.principal import KeyPrincipal, Speaker
from rolltape.domain.recordings import Claim, RecordingRow
from rolltape.service.recording_access import check_span, find, invalid, read_time
from rolltape.service.storage import reaching_storage
from rolltape.service.uploads import busy, stored, too_large
from rolltape.store.blobs import Blob, Busy, Held
from rolltape.store.recordings import Verified
from rolltape.wire.recording import Recording, UploadComplete

if TYPE_CHECKING:
    from rolltape.service.context import Services

WAIT_SECONDS = 10.0
"""How long a completion waits for another one, or for an upload's last bytes."""
DURATION_SLACK_MS = 1000


async def complete_upload(
    app: "Services", who: Speaker, recording_id: str, body: UploadComplete, *, now: int
) -> Recording:
    """The recording, uploaded: its bytes hashed and found as claimed. The same claim again is answered the same.

    Raises Problem: not_found, invalid_request; upload_incomplete (nothing, or fewer bytes than announced);
    integrity_failure (the bytes are kept, and a later right call, or other bytes, mend it); upload_conflict (another
    claim than the one that it was completed with, or somebody is writing); payload_too_large (sent past this server, by
    a link that can't limit it); unavailable (the object store can't be asked: nothing is lost, nothing changed).
    """
    row = await find(app, who, recording_id)
    claim = _claim(body, row)
    if row.status != "uploaded":
        row = await _complete(app, row, claim, now)
    if not domain.agrees(row, claim):
        raise Problem(
            Code.UPLOAD_CONFLICT,
            "The recording is uploaded already, and known otherwise than this says. Read it to see what is known.",
            details={
                "status": row.status,
                "file_size_bytes": row.file_size_bytes,
                "content_sha256": row.content_sha256,
            },
        )
    return domain.view(row, for_device=not isinstance(who, KeyPrincipal))


def _claim(body: UploadComplete, row: RecordingRow) -> Claim:
    ended_at = read_time("ended_at", body.ended_at)
    check_span(row.started_at, ended_at)
    return Claim(
        content_sha256=None if body.content_sha256 is None else body.content_sha256.lower(),
        file_size_bytes=body.file_size_bytes,
        duration_ms=_duration_ms(body),
        ended_at=ended_at,
    )


def _duration_ms(body: UploadComplete) -> int | None:
    if body.duration_seconds is None:
        return body.duration_ms
    from_seconds = round(body.duration_seconds * 1000)
    if body.duration_ms is None:
        return from_seconds
    if abs(body.duration_ms - from_seconds) > DURATION_SLACK_MS:
        raise invalid(
            "duration_seconds", "`duration_ms` and `duration_seconds` are over a second apart. Send one of them."
        )
    return body.duration_ms


async def _complete(app: "Services", row: RecordingRow, claim: Claim, now: int) -> RecordingRow:
    if row.media_id is None:
        raise _incomplete(row, Held(0, False))
    try:
        with reaching_storage():
            async with app.blobs.hold(row.media_id, wait=WAIT_SECONDS) as blob:
                # Read again: while this waited, another call may have completed or deleted it.
                row = await app.store.recording_of_media(row.tenant_n, row.media_id)
                return row if row.status == "uploaded" else await _verify(app, row, blob, claim, now)
    except Busy:
        raise busy() from None


async def _verify(app: "Services", row: RecordingRow, blob: Blob, claim: Claim, now: int) -> RecordingRow:
    held = await blob.pin()
    if app.blobs.links is not None and held.size > app.blobs.max_bytes:
        raise too_large(app.blobs.max_bytes)
    verdict = domain.judge_size(row, stored(held), claim)
    if verdict == "incomplete":
        raise _incomplete(row, held)
    sha256 = await blob.sha256()
    if verdict == "wrong" or claim.content_sha256 not in (None, sha256):
        row = await app.store.fail_integrity(row.tenant_n, row.id)
        raise Problem(
            Code.INTEGRITY_FAILURE,
            "The stored bytes aren't what was claimed. They are kept: complete again with the right values, "
            "or send the bytes again to the upload URL.",
            details={"status": row.status, "file_size_bytes": held.size, "content_sha256": sha256},
        )
    held = await blob.seal()
    known = Verified(held.size, sha256, claim.duration_ms, claim.ended_at)
    try:
        return await app.store.complete_recording(row.tenant_n, row.id, known, now)
    except Problem as problem:
        if problem.code == Code.NOT_FOUND:  # deleted meanwhile by another server, which didn't know of this seal
            await blob.clear()
        raise


def _incomplete(row: RecordingRow, held: Held) -> Problem:
    return Problem(
        Code.UPLOAD_INCOMPLETE,
        f"{held.size} bytes are in, and more were announced. Go on with the upload from there, then complete it."
        if held.size
        else "No bytes are in. Ask for an upload URL, send the bytes, then complete the upload.",
        details={"status": row.status, "file_size_bytes": held.size},
    )
