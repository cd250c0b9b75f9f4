"""Recordings: creation, the lists, the media, and what a deletion leaves to do. See `store.recordings`."""

from typing import Any

from rolltape.codes import Code, Problem
from rolltape.domain import recordings as domain
from rolltape.domain.recordings import RecordingRow
from rolltape.store.database import Db, queries
from rolltape.store.inputs import Position
from rolltape.store.operations import events, recording_origin
from rolltape.store.operations.moves import not_found
from rolltape.store.recordings import CreatedRecording, NewMedia, NewRecording, RecordingFilter, Verified

_Q = queries("recordings")
_BY_ID = f"{_Q['select']} {_Q['where_id']}"
_BY_PROJECT = f"{_Q['select']} {_Q['where_project']}"
_BY_END_USER = f"{_Q['select']} {_Q['where_end_user']}"


async def _append(db: Db, name: str, row: RecordingRow, now: int, previous_status: str | None = None) -> None:
    await events.append(
        db,
        f"recording.{name}",
        domain.view(row),
        now=now,
        tenant_n=row.tenant_n,
        device_id=row.device_id,
        previous_status=previous_status,
    )


async def get(db: Db, tenant_n: int, recording_id: str) -> RecordingRow:
    """The tenant's recording. Raises Problem: not_found."""
    row = await db.one(_BY_ID, (recording_id, tenant_n))
    if row is None:
        raise not_found("recording")
    return RecordingRow(*row)


async def by_media(db: Db, tenant_n: int, media_id: str) -> RecordingRow:
    """The recording whose file that is. Raises Problem: not_found."""
    row = await db.one(_Q["by_media"], (media_id, tenant_n))
    if row is None:
        raise not_found("upload")
    return RecordingRow(*row)


async def list_page(db: Db, tenant_n: int, by: RecordingFilter, position: Position) -> list[RecordingRow]:
    """The tenant's recordings, newest first."""
    named: dict[str, Any] = {"tenant_n": tenant_n, "below": position.below, "limit": position.limit}
    parts = [_Q["select"], _Q["where_listed"]]
    for name in ("device_id", "end_user_id", "command_id", "status"):
        value = getattr(by, name)
        if value is not None:
            named[name] = value
            parts.append(_Q[f"and_{name}"])
    if by.status not in (None, "uploaded"):
        parts.append(_Q["and_not_uploaded"])  # lets SQLite take the index of the few that aren't
    parts.append(_Q["order_listed"])
    return [RecordingRow(*row) for row in await db.all(" ".join(parts), named)]


async def create(db: Db, new: NewRecording, now: int) -> CreatedRecording:
    """Creates a recording; the same id again by the same owner answers what is there.

    Raises Problem: not_found (also for a command, device or end user that was named), invalid_request, id_conflict.
    """
    before = await db.one(_BY_PROJECT, (new.project_id, new.id))
    if before is not None:
        return CreatedRecording(_same_again(RecordingRow(*before), new), existed=True)
    if await db.one(_Q["is_deleted"], (new.project_id, new.id)) is not None:
        raise _id_conflict(
            "A recording with this id was deleted. Throw its audio away; a new recording needs a new id.",
            {"status": "deleted"},
        )
    origin = await recording_origin.find(db, new)
    await db.run(
        _Q["insert"],
        (
            new.id,
            new.tenant_n,
            new.project_id,
            origin.device_id,
            origin.generation,
            origin.end_user_id,
            new.command_id,
            new.name,
            new.source,
            new.upload_method,
            "key" if new.by_device is None else "device",
            new.started_at,
            new.ended_at,
            new.own_metadata,
            origin.command_metadata,
            now,
        ),
    )
    row = await get(db, new.tenant_n, new.id)
    await _hold_device(db, row)
    await _append(db, "created", row, now)
    await _end_run(db, row, now)
    return CreatedRecording(row, existed=False)


def _same_again(row: RecordingRow, new: NewRecording) -> RecordingRow:
    owner = new.by_device or new.device_id
    if row.tenant_n != new.tenant_n or (owner is not None and owner != row.device_id):
        raise _id_conflict("This recording id is taken. Make another one, of 22 or more random characters.")
    if new.token_ended and row.generation != new.token_generation:
        raise not_found("recording")
    return row


def _id_conflict(message: str, details: dict[str, Any] | None = None) -> Problem:
    return Problem(Code.ID_CONFLICT, message, param="id", details=details)


async def _hold_device(db: Db, row: RecordingRow) -> None:
    """Its device, whose events have one order."""
    if row.device_id is not None:
        await db.hold((row.device_id,))


async def _end_run(db: Db, row: RecordingRow, now: int) -> None:
    """A recording that has ended runs no more, whatever the last heartbeat said."""
    if row.ended_at is not None and row.device_id is not None:
        await db.run(_Q["end_run"], (now, row.device_id, row.id))


async def announce(db: Db, tenant_n: int, recording_id: str, media: NewMedia, now: int) -> RecordingRow:
    """The recording with its file: the one that was announced first, or else this. Raises Problem: not_found."""
    row = await get(db, tenant_n, recording_id)
    if row.media_id is not None:
        return row
    await db.run(_Q["insert_media"], (media.id, row.n, tenant_n, media.content_type, media.declared_size, now))
    return await get(db, tenant_n, recording_id)


async def change_media(db: Db, tenant_n: int, media: NewMedia) -> RecordingRow:
    """Announces the file anew: its type, and how many bytes there will be. Once it is uploaded, nothing changes.

    Raises Problem: not_found.
    """
    await db.run(_Q["change_media"], (media.content_type, media.declared_size, media.id))
    return await by_media(db, tenant_n, media.id)


async def complete(db: Db, tenant_n: int, recording_id: str, known: Verified, now: int) -> RecordingRow:
    """All bytes are in, and checked. One that is uploaded already is answered as it is. Raises Problem: not_found."""
    row = await get(db, tenant_n, recording_id)
    await _hold_device(db, row)
    done = await db.changed(
        _Q["complete"],
        (known.file_size_bytes, known.content_sha256, now, known.duration_ms, known.ended_at, row.n),
    )
    if not done:
        return await get(db, tenant_n, recording_id)
    await db.run(_Q["complete_media"], (known.file_size_bytes, known.content_sha256, row.n))
    after = await get(db, tenant_n, recording_id)
    await _append(db, "uploaded", after, now, previous_status=row.status)
    await _end_run(db, after, now)
    return after


async def fail_integrity(db: Db, tenant_n: int, recording_id: str) -> RecordingRow:
    """The bytes aren't what was claimed. One that is uploaded stays so. Raises Problem: not_found."""
    row = await get(db, tenant_n, recording_id)
    if await db.changed(_Q["fail"], (row.n,)):
        await db.run(_Q["fail_media"], (row.n,))
    return await get(db, tenant_n, recording_id)


async def delete(db: Db, tenant_n: int, recording_id: str, now: int) -> str | None:
    """Deletes the recording and queues its bytes for deletion; their media id. Raises Problem: not_found."""
    row = await get(db, tenant_n, recording_id)
    await _hold_device(db, row)
    if not await _delete(db, row, now):
        raise not_found("recording")
    return row.media_id


async def devices_of_end_user(db: Db, tenant_n: int, end_user_id: str) -> list[str]:
    """The devices that made an end user's recordings."""
    return [row[0] for row in await db.all(_Q["devices_of_end_user"], (tenant_n, end_user_id))]


async def delete_of_end_user(db: Db, tenant_n: int, end_user_id: str, now: int) -> list[str]:
    """Deletes all recordings of an end user and queues their bytes; the media ids. For the deletion of the user."""
    rows = [RecordingRow(*row) for row in await db.all(_BY_END_USER, (tenant_n, end_user_id))]
    for row in rows:
        await _delete(db, row, now)
    return [row.media_id for row in rows if row.media_id is not None]


async def _delete(db: Db, row: RecordingRow, now: int) -> bool:
    if not await db.changed(_Q["delete"], (row.n,)):
        return False  # somebody else just did
    await db.run(_Q["remember_deleted"], (row.project_id, row.id))
    if row.media_id is not None:
        await db.run(_Q["queue_bytes"], (row.media_id, now))
    await _append(db, "deleted", row, now)
    return True


async def bytes_to_delete(db: Db, limit: int) -> list[str]:
    """Media whose recording is gone and whose bytes may still be there, those longest due first."""
    return [row[0] for row in await db.all(_Q["bytes_to_delete"], (limit,))]


async def bytes_are_deleted(db: Db, media_id: str) -> None:
    """The bytes are gone: nothing is left to do for that media."""
    await db.run(_Q["bytes_are_deleted"], (media_id,))
