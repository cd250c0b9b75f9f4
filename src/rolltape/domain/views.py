"""From the stored facts to the objects that callers read. Pure: time is a parameter, secrets never enter."""

from typing import Any

import msgspec

from rolltape.domain import lifecycle
from rolltape.domain.rows import ROUTE_BITS, CommandRow, DeviceRow, EndUserRow, EventRow, KeyRow
from rolltape.wire.account import EndUser, Key
from rolltape.wire.command import Command, Delivery, Offer
from rolltape.wire.common import Event, Reason
from rolltape.wire.device import Device, DeviceStateAnswer, RecordingEvidence, RecordingState
from rolltape.wire.keys import b64url
from rolltape.wire.relay import RelayOffer
from rolltape.wire.times import iso, iso_or_none

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def from_json(text: str | None) -> Any:
    """The value of stored JSON; None stays None."""
    return None if text is None else _decode(text)


def to_json(value: Any) -> str:
    """JSON to be stored, or handed to a query."""
    return _encode(value).decode()


def command(
    row: CommandRow, now: int, *, grant_token: str | None = None, next_contact_at: int | None = None
) -> Command:
    """A command as it stands at `now`."""
    open_ = lifecycle.is_open(row.status)
    expected = next_contact_at if open_ and next_contact_at is not None and next_contact_at > now else None
    relayed = row.relay_grants_until if row.offered_routes == ROUTE_BITS["relay"] else None
    still = lifecycle.may_still_run_until(row.type, row.status, row.offers, row.expires_at, relayed, now)
    return Command(
        id=row.id,
        device_id=row.device_id,
        type=row.type,
        status=row.status,
        params=_decode(row.params),
        grant_token=grant_token,
        result=from_json(row.result),
        error=None if row.error_code is None else Reason(code=row.error_code, message=row.error_message or ""),
        expires_at=iso(row.expires_at),
        delivered_at=iso_or_none(row.delivered_at),
        executed_at=iso_or_none(row.executed_at),
        created_at=iso(row.created_at),
        reported_at=iso_or_none(row.reported_at),
        may_still_run_until=iso_or_none(still),
        delivery=Delivery(
            route=row.route,
            offers=row.offers,
            last_offered_at=iso_or_none(row.last_offered_at),
            next_contact_at=iso_or_none(expected),
            evidence=row.evidence,
        ),
    )


def grant_params(params: dict[str, Any]) -> dict[str, Any]:
    """Params as a device may see them: without the backend's metadata."""
    return {key: value for key, value in params.items() if key != "metadata"}


def offer(row: CommandRow, grant_token: str) -> Offer:
    """A command as a device is offered it."""
    return Offer(
        id=row.id,
        type=row.type,
        params=grant_params(_decode(row.params)),
        grant_token=grant_token,
        expires_at=iso(row.expires_at),
        seq=row.seq,
    )


def relay_offer(row: CommandRow, grant_token: str, grant_cwt: bytes) -> RelayOffer:
    """A command as a relay is offered it."""
    return RelayOffer(
        id=row.id,
        type=row.type,
        params=grant_params(_decode(row.params)),
        grant_token=grant_token,
        expires_at=iso(row.expires_at),
        seq=row.seq,
        device_id=row.device_id,
        grant_cwt=b64url(grant_cwt),
    )


def _recording_state(row: DeviceRow) -> RecordingState:
    return RecordingState(
        device_state=row.device_state,  # type: ignore[arg-type]  # checked on its way in
        pending_recordings=row.pending_recordings,
        flags=row.flags,
        connection_type=from_json(row.connection_type),
    )


def device_fields(row: DeviceRow, now: int) -> dict[str, Any]:
    """The fields of a device object."""
    return {
        "id": row.id,
        "project_id": row.project_id,
        "binding_generation": row.generation,
        "serial_number": row.serial_number,
        "model": row.model,
        "name": row.name,
        "firmware_version": row.firmware_version,
        "status": "unbound" if row.end_user_id is None else "bound",
        "end_user_id": row.end_user_id,
        "connection": _decode(row.connection),
        "online": row.online_until > now,
        "battery_percent": row.battery_percent,
        "storage_used_mb": row.storage_used_mb,
        "storage_total_mb": row.storage_total_mb,
        "signal_strength_dbm": row.signal_strength_dbm,
        "last_heartbeat_at": iso_or_none(row.last_heartbeat_at),
        "recording_state": _recording_state(row),
        "grant_alg": row.grant_alg,
        "public_key": row.public_key,
        "metadata": _decode(row.metadata),
        "settings": _decode(row.settings),
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
    }


def device(row: DeviceRow, now: int) -> Device:
    """A device as it stands at `now`."""
    return Device(**device_fields(row, now))


def recording_runs(row: DeviceRow, now: int) -> bool:
    """Whether the device records, as far as it said: a remote recording ends by its longest time at the latest."""
    return bool(row.rec_active) and (row.rec_until is None or now < row.rec_until)


def remote_recording_runs(row: DeviceRow, now: int) -> bool:
    """Whether a recording that was started from here still runs."""
    return row.rec_initiated_by == "remote" and recording_runs(row, now)


def device_state(row: DeviceRow, now: int) -> DeviceStateAnswer:
    """What the device last said of itself, and how old that is."""
    online = row.online_until > now
    runs = recording_runs(row, now)
    known = online and row.rec_active is not None
    return DeviceStateAnswer(
        device_id=row.id,
        binding_generation=row.generation,
        online=online,
        recording=RecordingEvidence(
            active=runs if known else None,
            recording_id=row.rec_id if runs else None,
            started_at=iso_or_none(row.rec_started_at) if runs else None,
            initiated_by=row.rec_initiated_by if runs else None,
            as_of=iso_or_none(row.rec_as_of),
            evidence=None if row.rec_evidence == "offered" else row.rec_evidence,
        ),
        recording_state=_recording_state(row),
        battery_percent=row.battery_percent,
        storage_used_mb=row.storage_used_mb,
        storage_total_mb=row.storage_total_mb,
        last_heartbeat_at=iso_or_none(row.last_heartbeat_at),
        last_seen_by=row.last_seen_by,  # type: ignore[arg-type]
    )


def key(row: KeyRow) -> Key:
    """An API key, without its secret."""
    return Key(
        id=row.id,
        project_id=row.project_id,
        mode=row.mode,
        name=row.name,
        scopes=_decode(row.scopes),
        created_at=iso(row.created_at),
        last_used_at=iso_or_none(row.last_used_at),
    )


def end_user(row: EndUserRow) -> EndUser:
    """An end user."""
    return EndUser(
        id=row.id,
        project_id=row.project_id,
        external_id=row.external_id,
        name=row.name,
        email=row.email,
        metadata=_decode(row.metadata),
        created_at=iso(row.created_at),
    )


def event(row: EventRow) -> Event:
    """An event envelope."""
    return Event(
        id=row.id,
        type=row.type,
        created_at=iso(row.created_at),
        data=_decode(row.data),
        previous_status=row.previous_status,
    )
