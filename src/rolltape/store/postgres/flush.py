"""What devices said of themselves since the last batch, written in a few statements however many they are."""

from operator import attrgetter
from typing import Any

from rolltape.domain import views
from rolltape.domain.rows import DeviceRow
from rolltape.store.database import own_texts, queries
from rolltape.store.inputs import StateDelta
from rolltape.store.operations import events, states
from rolltape.store.postgres.database import PACKAGE, PgDb
from rolltape.store.postgres.unit import Q, columns

_Q = own_texts(PACKAGE, "flush")
_COLUMNS = (
    "online_until",
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
    "last_seen_by",
    "mqtt_until",
)
_READERS = tuple(map(attrgetter, _COLUMNS))
AT_ONCE = 1000
"""Rows that one statement writes: the event loop makes columns of them, and has other things to do in between."""


async def flush(db: PgDb, deltas: dict[str, StateDelta]) -> None:
    """Writes it, with an event for each device that came online.

    Those that may come online are held first, as every event wants; the rows of states come after that, in one order.
    """
    deltas = dict(sorted(deltas.items()))
    said = list(deltas.items())
    await db.hold([row[0] for row in await db.conn.fetch(_Q["offline"], [device_id for device_id, _ in said])])
    offline = set()
    for at in range(0, len(said), AT_ONCE):
        part = said[at : at + AT_ONCE]
        offline |= {row[0] for row in await db.conn.fetch(_Q["update"], *_written(part), states.SLACK_MS)}
    if firmware := states.new_firmware(deltas):
        await db.conn.execute(_Q["firmware"], *columns(firmware))
    await db.many(queries("states")["says_recording"], states.running(deltas))
    came = [device_id for device_id, delta in said if delta.online_until > 0 and device_id in offline]
    if came:
        await db.conn.execute(_Q["came_online"], came)
        await _tell(db, came, deltas)


def _written(said: list[tuple[str, StateDelta]]) -> list[list[Any]]:
    """The columns of the statement: ids, what was said, and since when, and on whose word, nothing is recorded.

    One of which nobody said anything is empty, which unnest fills with NULL: asyncpg looks at each value, and most are
    none.
    """
    device_ids = [device_id for device_id, _ in said]
    deltas = [delta for _, delta in said]
    found = [list(map(read, deltas)) for read in _READERS]
    found += columns([states.idle(delta) for delta in deltas])
    return [device_ids, *([] if column.count(None) == len(column) else column for column in found)]


async def _tell(db: PgDb, came: list[str], deltas: dict[str, StateDelta]) -> None:
    rows = [DeviceRow(*row) for row in await db.conn.fetch(_ALL, came)]
    told = []
    for row in rows:
        now = deltas[row.id].seen_at
        data = views.device(row, now)
        told.append(events.made("device.online", data, now=now, tenant_n=row.tenant_n, device_id=row.id))
    await db.conn.execute(Q["tell"], *columns(told))


_ALL = f"{queries('devices')['select']} WHERE d.id = ANY ($1::text[]) ORDER BY d.id"
