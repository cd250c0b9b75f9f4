"""A data folder with something of everything, and an empty PostgreSQL for it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg

from rolltape.config import Settings
from rolltape.domain.lifecycle import Word
from rolltape.store.database import drive
from rolltape.store.inputs import StateDelta
from rolltape.store.recordings import NewMedia, Verified
from rolltape.store.relays import NewClaim
from rolltape.store.sqlite.database import connect
from rolltape.store.sqlite.store import SqliteStore
from rolltape.store.transfer.tables import tables_of
from rolltape.testing.store_suite import House, Ready
from rolltape.testing.store_suite.house import DAY_MS, NOW
from rolltape.testing.store_suite.recordings import by_device
from rolltape.testing.store_suite.relays import bound, token
from rolltape.wiring import admin_create_key
from rolltape.wiring.build import open_vault
from rolltape.wiring.databases import open_database


def fill(data: Path) -> None:
    """Makes it: each table has rows, and some of the newest rows are gone again."""
    project = admin_create_key(data, "test", None, None, None)["project_id"]
    db = open_database(data)
    try:
        drive(open_vault(Settings(data=data), db, NOW))
    finally:
        db.conn.close()

    async def run() -> None:
        store = SqliteStore(data)
        try:
            await _live(House(Ready(store, 1, 2, project, [])))
        finally:
            await store.close()

    asyncio.run(run())
    db = connect(data)
    assert [table.name for table in tables_of(db) if db.first(f"SELECT 1 FROM {table.name}") is None] == []
    db.conn.close()


async def _live(at: House) -> None:
    device, user = await bound(at)
    other = await at.unbound("HS256", serial="d\u00e9vice \U0001f399")
    await at.bind(other)
    rows = [await at.create(device, key=f"k{n}", params='{"metadata":{"room":"\\u0000"}}') for n in range(7)]
    await at.acknowledge(rows[0])
    await at.report(rows[0], Word("executed", '{"recording_id":"rec_1"}', None, "device"))
    await at.report(rows[1], Word("failed", None, "internal", "relay"))
    await at.cancel(rows[2])
    await at.store.claim(at.tenant_n, device, rows[3].id, 1, NewClaim(b"\x00\xff" * 16, {}), NOW)
    await at.store.offer(device, 1, "relay", None, 4, NOW, grants_until=NOW + 60_000)
    await at.store.insert_relay_token(token(at, user, device_ids=json.dumps([device])), NOW)
    await at.store.count_receipt(device, 1, 2**62)
    said = StateDelta(at.tenant_n, NOW + 1000, storage_used_mb=7, storage_total_mb=64.5, seen_at=NOW)
    at.store.note_state(device, said)
    await at.store.flush_states()
    await at.store.unbind_device(at.tenant_n, other, True, NOW)
    await at.bind(other)
    for n in range(3):
        new = by_device(at, device, id=f"rec_{n}".ljust(30, "x"))
        await at.store.create_recording(new, NOW)
        await at.store.announce_media(at.tenant_n, new.id, NewMedia(f"med_{n}", "audio/ogg", 3), NOW)
    await at.store.complete_recording(at.tenant_n, "rec_0".ljust(30, "x"), Verified(3, "ab" * 32, 9, NOW), NOW)
    await at.store.delete_recording(at.tenant_n, "rec_2".ljust(30, "x"), NOW)  # the greatest n of all, and it is gone
    gone = await at.create(other, ttl=1)
    await at.cancel(gone)
    assert await at.store.age_out_commands(NOW + DAY_MS, 1) == 1  # with its events, the last that there were


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    """What somebody asks or changes in that PostgreSQL."""

    async def run() -> list[tuple[Any, ...]]:
        conn = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await conn.fetch(sql)]
        finally:
            await conn.close()

    return asyncio.run(run())
