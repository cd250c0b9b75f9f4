"""What devices say of themselves: written in batches, with an event when one comes online or goes."""

from dataclasses import fields
from operator import attrgetter
from typing import Any

from rolltape.domain import views
from rolltape.store.inputs import StateDelta
from rolltape.store.sqlite import devices, events
from rolltape.store.sqlite.database import Db, queries
from rolltape.wire.command import Evidence

_Q = queries("states")
LONGEST_RECORDING_MS = 86_400_000
SLACK_MS = 3 * 3_600_000
"""What lies farther ahead than the longest time for which a device counts as online was noted by a wrong clock."""
_NAMES = tuple(field.name for field in fields(StateDelta))
_VALUES = attrgetter(*_NAMES)


def _bindings(device_id: str, delta: StateDelta) -> dict[str, Any]:
    """A delta as named bindings. dataclasses.asdict, which copies deeply, would take most of a batch's time."""
    values: dict[str, Any] = dict(zip(_NAMES, _VALUES(delta), strict=True))
    values.update(device_id=device_id, now=delta.seen_at, slack=SLACK_MS)
    return values


def flush(db: Db, deltas: dict[str, StateDelta]) -> None:
    """Writes what the devices said since the last time."""
    for device_id, delta in deltas.items():
        was = db.one(_Q["online"], (device_id,))
        values = _bindings(device_id, delta)
        db.run(_Q["update"], values)
        if delta.firmware_version is not None:
            db.run(_Q["update_firmware"], values)
        if delta.rec_said:
            _say_recording(db, delta, values)
        if was is not None and not was[0] and delta.online_until > 0:
            _append(db, "device.online", device_id, delta.seen_at)


def _say_recording(db: Db, delta: StateDelta, values: dict[str, Any]) -> None:
    if delta.rec_id is None:
        db.run(_Q["says_idle"], values)
        return
    began = min(delta.rec_started_at or delta.seen_at, delta.seen_at)
    values["rec_until"] = began + LONGEST_RECORDING_MS  # kept for a remotely started one alone
    db.run(_Q["says_recording"], values)


def recording_began(
    db: Db, device_id: str, recording_id: str | None, began: int | None, until: int, evidence: Evidence, now: int
) -> None:
    """A remotely started recording runs, by the device's report, unless that very recording has ended already."""
    if recording_id is None or db.one(_Q["recording_has_ended"], (device_id, recording_id)) is None:
        db.run(_Q["recording_began"], (recording_id, began, until, now, evidence, device_id))


def runs(db: Db, device_id: str, now: int) -> bool:
    """Whether a recording runs, as far as the device said."""
    return db.one(_Q["runs"], (device_id, now)) is not None


def recording_ended(db: Db, device_id: str, recording_id: str | None, evidence: Evidence, now: int) -> None:
    """Nothing is being recorded any more; with `recording_id`, only if that one was."""
    if recording_id is None:
        db.run(_Q["recording_ended"], (now, evidence, device_id))
    else:
        db.run(_Q["this_recording_ended"], (now, evidence, device_id, recording_id))


def recording_taken_back(db: Db, device_id: str, recording_id: str | None, evidence: Evidence, now: int) -> None:
    """The recording that was said to run never did; None: it was told without an id."""
    db.run(_Q["this_recording_ended"], (now, evidence, device_id, recording_id))


def mark_offline(db: Db, now: int, limit: int) -> int:
    """Tells of devices that were online and have been silent too long, with an event each; how many."""
    gone = db.all(_Q["gone"], (now, limit))
    for (device_id,) in gone:
        db.run(_Q["mark_offline"], (device_id,))
        _append(db, "device.offline", device_id, now)
    return len(gone)


def gauges(db: Db, now: int) -> dict[str, int]:
    """Counts over all tenants."""
    row = db.one(_Q["gauges"], {"now": now})
    assert row is not None
    return {"devices_bound": row[0], "devices_online": row[1], "commands_open": row[2]}


def _append(db: Db, type_: str, device_id: str, now: int) -> None:
    device = devices.get_any(db, device_id)
    events.append(db, type_, views.device(device, now), now=now, tenant_n=device.tenant_n, device_id=device_id)
