"""What devices said of themselves since the last batch, written in a few statements however many they are."""

from operator import attrgetter
from typing import Any

from rolltape.domain import views
from rolltape.domain.rows import DeviceRow
from rolltape.store.database import own_queries, queries
from rolltape.store.inputs import StateDelta
from rolltape.store.operations import events, states
from rolltape.store.postgres.database import PACKAGE, PgDb
from rolltape.store.postgres.unit import Q, columns

_Q = {name.split(".")[1]: str(text) for name, text in own_queries(PACKAGE).items() if name.startswith("flush.")}
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
_values = attrgetter(*_COLUMNS)


async def flush(db: PgDb, deltas: dict[str, StateDelta]) -> None:
    """Writes it, with an event for each device that came online.

    Those that may come online are held first, as every event wants; the rows of states come after that, in one order.
    """
    said = sorted(deltas.items())
    await db.hold([row[0] for row in await db.conn.fetch(_Q["offline"], [device_id for device_id, _ in said])])
    rows = [(device_id, *_values(delta), states.SLACK_MS) for device_id, delta in said]
    were = dict(await db.conn.fetch(_Q["update"], *columns(rows)))
    await _firmware(db, said)
    await _recordings(db, said)
    came = [id_ for id_, delta in said if delta.online_until > 0 and were.get(id_) == 0]
    if came:
        await _tell(db, came, deltas)


async def _firmware(db: PgDb, said: list[tuple[str, StateDelta]]) -> None:
    rows = [(id_, delta.firmware_version, delta.seen_at) for id_, delta in said if delta.firmware_version is not None]
    if rows:
        await db.conn.execute(_Q["firmware"], *columns(rows))


async def _recordings(db: PgDb, said: list[tuple[str, StateDelta]]) -> None:
    idle: list[Any] = []
    running: list[Any] = []
    for device_id, delta in said:
        if delta.rec_said and delta.rec_id is None:
            idle.append((device_id, delta.rec_as_of, delta.rec_evidence, states.SLACK_MS))
        elif delta.rec_said:
            running.append(states.named(device_id, delta))
    if idle:
        await db.conn.execute(_Q["idle"], *columns(idle))
    await db.many(queries("states")["says_recording"], running)


async def _tell(db: PgDb, came: list[str], deltas: dict[str, StateDelta]) -> None:
    rows = [DeviceRow(*row) for row in await db.conn.fetch(_ALL, came)]
    told = []
    for row in rows:
        now = deltas[row.id].seen_at
        data = views.device(row, now)
        told.append(events.made("device.online", data, now=now, tenant_n=row.tenant_n, device_id=row.id))
    await db.conn.execute(Q["tell"], *columns(told))


_ALL = f"{queries('devices')['select']} WHERE d.id = ANY ($1::text[]) ORDER BY d.id"
