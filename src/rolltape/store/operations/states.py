"""What devices say of themselves: written in batches, with an event when one comes online or goes."""

from operator import attrgetter
from typing import Any

from rolltape.domain import views
from rolltape.store.database import Bindings, Db, queries
from rolltape.store.inputs import StateDelta
from rolltape.store.operations import devices, events
from rolltape.wire.command import Evidence

_Q = queries("states")
LONGEST_RECORDING_MS = 86_400_000
SLACK_MS = 3 * 3_600_000
"""What lies farther ahead than the longest time for which a device counts as online was noted by a wrong clock."""
_NAMES = StateDelta.__struct_fields__
_VALUES = attrgetter(*_NAMES)


def named(device_id: str, delta: StateDelta) -> dict[str, Any]:
    """A delta as named bindings. One by one they would take most of a batch's time."""
    values: dict[str, Any] = dict(zip(_NAMES, _VALUES(delta), strict=True))
    values.update(device_id=device_id, now=delta.seen_at, slack=SLACK_MS)
    if delta.rec_id is not None:
        began = min(delta.rec_started_at or delta.seen_at, delta.seen_at)
        values["rec_until"] = began + LONGEST_RECORDING_MS  # kept for a remotely started one alone
    return values


def new_firmware(said: dict[str, StateDelta]) -> list[tuple[str, str, int]]:
    """The versions that were said, each with its device and when that was."""
    return [(id_, d.firmware_version, d.seen_at) for id_, d in said.items() if d.firmware_version is not None]


def running(said: dict[str, StateDelta]) -> list[Bindings]:
    """Of the devices that say which recording runs: as `says_recording` takes it."""
    return [named(id_, delta) for id_, delta in said.items() if delta.rec_said and delta.rec_id is not None]


def idle(delta: StateDelta) -> tuple[int | None, str | None]:
    """As of when the device says that it records nothing, and on whose word; None: it doesn't say so."""
    return (delta.rec_as_of, delta.rec_evidence) if delta.rec_said and delta.rec_id is None else (None, None)


async def recording_began(
    db: Db, device_id: str, recording_id: str | None, began: int | None, until: int, evidence: Evidence, now: int
) -> None:
    """A remotely started recording runs, by the device's report, unless that very recording has ended already."""
    if recording_id is None or await db.one(_Q["recording_has_ended"], (device_id, recording_id)) is None:
        await db.run(_Q["recording_began"], (recording_id, began, until, now, evidence, device_id))


async def runs(db: Db, device_id: str, now: int) -> bool:
    """Whether a recording runs, as far as the device said."""
    return await db.one(_Q["runs"], (device_id, now)) is not None


async def recording_ended(db: Db, device_id: str, recording_id: str | None, evidence: Evidence, now: int) -> None:
    """Nothing is being recorded any more; with `recording_id`, only if that one was."""
    if recording_id is None:
        await db.run(_Q["recording_ended"], (now, evidence, device_id))
    else:
        await db.run(_Q["this_recording_ended"], (now, evidence, device_id, recording_id))


async def recording_taken_back(db: Db, device_id: str, recording_id: str | None, evidence: Evidence, now: int) -> None:
    """The recording that was said to run never did; None: it was told without an id."""
    await db.run(_Q["this_recording_ended"], (now, evidence, device_id, recording_id))


async def sweep(db: Db, now: int, limit: int) -> tuple[int, int]:
    """Looks at devices whose time for that has come: how many were told of as gone, and how many have been heard.

    The latter are looked at again when they may be gone. There may be more to look at, unless both are 0.
    """
    due = await db.all(_Q["to_check"], (now, now, limit))
    gone = [device_id for device_id, silent in due if silent]
    heard = [device_id for device_id, silent in due if not silent]
    await db.hold(gone)
    later = 0
    if heard:
        later = await db.count(_Q["check_later"], {"device_ids": views.to_json(heard), "now": now})
    for device_id in gone:
        if await db.changed(_Q["mark_offline"], (device_id, now)):
            await append(db, "device.offline", device_id, now)
    return len(gone), later


async def gauges(db: Db, now: int) -> dict[str, int]:
    """Counts over all tenants."""
    row = await db.one(_Q["gauges"], {"now": now})
    assert row is not None
    return {"devices_bound": row[0], "devices_online": row[1], "commands_open": row[2]}


async def append(db: Db, type_: str, device_id: str, now: int) -> None:
    """That a device came or went."""
    device = await devices.get_any(db, device_id)
    await events.append(db, type_, views.device(device, now), now=now, tenant_n=device.tenant_n, device_id=device_id)
