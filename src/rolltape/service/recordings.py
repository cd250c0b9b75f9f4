"""Recordings: creation, reading, deletion. What happens to their bytes is in the files that this one names."""

from typing import TYPE_CHECKING

from rolltape.domain import recordings as domain
from rolltape.domain.principal import DevicePrincipal, KeyPrincipal, RelayedDevice, Speaker
from rolltape.domain.recordings import RecordingRow
from rolltape.service.completion import complete_upload
from rolltape.service.paging import page
from rolltape.service.params import json_text
from rolltape.service.recording_access import check_span, find, invalid, read_time
from rolltape.service.recording_urls import download_url, upload_url
from rolltape.service.storage import reaching_storage
from rolltape.store.blobs import Busy, Unreachable
from rolltape.store.inputs import Position
from rolltape.store.recordings import NewRecording, RecordingFilter
from rolltape.wire.common import Page
from rolltape.wire.ids import new_id
from rolltape.wire.recording import CreateRecording, Recording

if TYPE_CHECKING:
    from rolltape.service.context import Services

__all__ = [
    "complete_upload",
    "create_recording",
    "delete_recording",
    "download_url",
    "get_recording",
    "list_recordings",
    "sweep_deleted_bytes",
    "sweep_late_bytes",
    "upload_url",
]

SWEEP = 100
"""How many deleted recordings' bytes are looked after in one go."""


async def create_recording(app: "Services", who: Speaker, body: CreateRecording, *, now: int) -> tuple[Recording, bool]:
    """The recording, and whether it is new. The same id again by the same owner: as it is.

    Raises Problem: invalid_request, not_found, id_conflict.
    """
    created = await app.store.create_recording(_new(who, body, now, app.config.aged_before(now)), now)
    return _view(who, created.recording), not created.existed


def _new(who: Speaker, body: CreateRecording, now: int, aged_before: int | None) -> NewRecording:
    started_at = _started_at(body)
    ended_at = read_time("ended_at", body.ended_at)
    check_span(started_at, ended_at)
    device = None if isinstance(who, KeyPrincipal) else who
    if device is not None and body.device_id not in (None, "me", device.device_id):
        raise invalid("device_id", "A device creates recordings of its own only. Leave `device_id` out.")
    return NewRecording(
        id=body.id or new_id("rec", now),
        tenant_n=who.tenant.n,
        project_id=who.tenant.project_id,
        by_device=device.device_id if device else None,
        token_generation=device.generation if device else 0,
        token_ended=_is_confined(device),
        device_id=None if device else body.device_id,
        end_user_id=body.end_user_id,
        command_id=body.command_id,
        generation=body.binding_generation,
        name=body.name,
        source=body.source or ("device" if device else "api_upload"),
        upload_method=body.upload_method,
        started_at=started_at,
        ended_at=ended_at,
        own_metadata=json_text(body.metadata or {}, "metadata", "metadata"),
        aged_before=aged_before,
    )


def _is_confined(device: DevicePrincipal | RelayedDevice | None) -> bool:
    """Whether the caller may speak of one binding alone: a relay knows its own end user's only."""
    return isinstance(device, RelayedDevice) or (device is not None and device.ended)


def _started_at(body: CreateRecording) -> int:
    started, recorded = read_time("started_at", body.started_at), read_time("recorded_at", body.recorded_at)
    if started is not None and recorded is not None and started != recorded:
        raise invalid("recorded_at", "`recorded_at` is another name for `started_at`; these differ. Send one of them.")
    begun = recorded if started is None else started
    if begun is None:
        raise invalid("started_at", "`started_at` is required: when did the recording begin?")
    return begun


def _view(who: Speaker, row: RecordingRow) -> Recording:
    return domain.view(row, for_device=not isinstance(who, KeyPrincipal))


async def get_recording(app: "Services", who: Speaker, recording_id: str, *, now: int) -> Recording:
    """One recording. Raises Problem: not_found."""
    return _view(who, await find(app, who, recording_id))


async def list_recordings(
    app: "Services",
    who: Speaker,
    *,
    device_id: str | None,
    end_user_id: str | None,
    status: str | None,
    command_id: str | None,
    limit: int,
    cursor: str | None,
    now: int,
) -> Page[Recording]:
    """A page of recordings, newest first. Raises Problem: invalid_request for a cursor that isn't of this list."""
    by = RecordingFilter(device_id, end_user_id, status, command_id)
    filters = ("recordings", who.tenant.n, device_id, end_user_id, status, command_id)
    position = Position(app.vault.open_cursor(cursor, filters), limit + 1)
    rows = await app.store.list_recordings(who.tenant.n, by, position)
    return page(app, rows, limit, filters, domain.view)


async def delete_recording(app: "Services", who: Speaker, recording_id: str, *, now: int) -> None:
    """Deletes the recording and its bytes. Raises Problem: not_found."""
    media_id = await app.store.delete_recording(who.tenant.n, recording_id, now)
    if media_id is not None:
        await _delete_bytes(app, media_id)


async def _delete_bytes(app: "Services", media_id: str) -> bool:
    try:
        async with app.blobs.hold(media_id) as blob:
            await blob.clear()
    except (Busy, Unreachable):
        return False  # an upload is under way, or the store is down; `sweep_deleted_bytes` comes back once it is over
    await app.store.bytes_are_deleted(media_id)
    return True


async def sweep_deleted_bytes(app: "Services") -> int:
    """Deletes the bytes of recordings that are gone, as many as can be deleted now; how many."""
    done = 0
    for media_id in await app.store.bytes_to_delete(SWEEP):
        done += await _delete_bytes(app, media_id)
    return done


async def sweep_late_bytes(app: "Services", now: int) -> int:
    """Deletes bytes that came by a link when their recording was complete or gone; how many. Raises Problem:
    unavailable."""
    with reaching_storage():
        return await app.blobs.sweep(now)
