"""What devices said of themselves since the last batch, written in a few statements, each for all of them."""

from operator import attrgetter
from typing import Any

import msgspec

from rolltape.store.database import own_texts, queries
from rolltape.store.inputs import StateDelta
from rolltape.store.operations import states
from rolltape.store.sqlite.database import PACKAGE, SqliteDb

_Q = own_texts(PACKAGE, "flush")
_values = attrgetter(
    "battery_percent",
    "storage_used_mb",
    "storage_total_mb",
    "signal_strength_dbm",
    "device_name",
    "device_state",
    "pending_recordings",
    "flags",
    "connection_type",
    "last_heartbeat_at",
    "next_contact_at",
)


def _row(device_id: str, delta: StateDelta) -> tuple[Any, ...]:
    last = delta.last_seen_by, delta.mqtt_until
    return (device_id, delta.online_until, states.SLACK_MS, *_values(delta), *states.idle(delta), *last)


async def flush(db: SqliteDb, deltas: dict[str, StateDelta]) -> None:
    """Writes it, with an event for each device that came online.

    In the order of the keys: neighbours are in one page, which is found once.
    """
    offline = [row[0] for row in db.rows(_Q["offline"], (msgspec.json.encode(list(deltas)).decode(),))]
    db.conn.executemany(_Q["update"], [_row(*said) for said in sorted(deltas.items())])
    db.conn.executemany(_Q["firmware"], states.new_firmware(deltas))
    db.conn.executemany(queries("states")["says_recording"], states.running(deltas))
    for device_id in offline:
        if deltas[device_id].online_until > 0:
            db.conn.execute(_Q["came_online"], (device_id,))
            await states.append(db, "device.online", device_id, deltas[device_id].seen_at)
