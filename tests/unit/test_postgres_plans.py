"""Plans on PostgreSQL are kept, but not those that were made while a table was empty."""

import asyncio
from pathlib import Path

import pytest

from rolltape.store.connections import nobody
from rolltape.store.postgres import connections
from rolltape.store.postgres.connections import PgConnections, open_pool
from rolltape.store.postgres.database import open_pg
from rolltape.store.postgres.looks import _Q as LOOK
from rolltape.store.postgres.unit import Q
from tests.postgres import url_of

_FILL = """
INSERT INTO commands (id, tenant_n, device_id, generation, seq, type, status, params, created_at, expires_at,
                      idempotency_key, request_hash)
SELECT 'cmd_' || n, 1, 'dev_' || n % 50, 1, n, 'start_recording', 'executed', '{}', 0, n * 1000, n::text, ''
FROM generate_series(1, 20000) AS n
"""


async def _plan(at: PgConnections) -> str:
    """That of the look of a round of creates, as the connection has it."""
    async with at.connection() as db:
        known = await db.conn.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name = 'look'")
        if not known:
            await db.conn.execute(f"PREPARE look AS {Q['before_creation_at_once']}")
        rows = await db.conn.fetch("EXPLAIN EXECUTE look ('{0}', '{dev_1}', '{k}', 100)")
        return "\n".join(row[0] for row in rows)


async def _plans(folder: Path) -> tuple[str, str]:
    """Before and after the table has grown, with nobody having counted its rows."""
    url = await url_of(folder)
    async with open_pg(url) as db:
        await db.conn.execute("ALTER TABLE commands SET (autovacuum_enabled = off)")
        at = PgConnections(await open_pool(url, 1), nobody, nobody)
        before = await _plan(at)
        await db.conn.execute(_FILL)
        after = await _plan(at)
        await at.close()
    return before, after


def test_a_plan_that_was_made_on_an_empty_table_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PLANS_SECONDS", 0.0)
    before, after = asyncio.run(_plans(tmp_path / "anew"))
    assert before != after
    assert "on commands_open " in after or "using commands_open " in after, after
    assert "using commands_idempotency" in after, after


LOOKS = {
    "before_creation_at_once": (Q, "'{0}', '{dev_1}', '{k}', 100"),
    "before_creation": (Q, "'{0}', '{dev_1}', '{1}', '{k}', '{t}', 100"),
    "open_of": (Q, "'{dev_1}'"),
    "offerable": (Q, "'{0}', '{dev_1}', '{1}', '{poll}', '{0}', '{1}', '{4}', '{NULL}', '{f}'"),
    "tokens": (LOOK, "'{x}'"),
    "pending": (LOOK, "'{dev_1}'"),
    "taken_without_a_word": (Q, "'{0}', '{dev_1}', '{1}', '{9}'"),
}


async def _plan_of(name: str, url: str) -> str:
    """That of one of these looks, on a connection as the store has them."""
    texts, values = LOOKS[name]
    at = PgConnections(await open_pool(url, 1), nobody, nobody)
    async with at.connection() as own:
        await own.conn.execute(f"PREPARE look AS {texts[name]}")
        rows = await own.conn.fetch(f"EXPLAIN EXECUTE look ({values})")
    await at.close()
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("name", LOOKS)
def test_what_is_open_on_one_device_is_not_sought_among_all_that_is_open(tmp_path: Path, name: str) -> None:
    async def plan() -> str:
        url = await url_of(tmp_path)
        async with open_pg(url) as db:
            await db.conn.execute("ALTER TABLE commands SET (autovacuum_enabled = off)")
            open_ = _FILL.replace("'executed'", "'pending'").replace("n % 50", "n % 5000")
            await db.conn.execute(open_.replace("20000", "8000"))
            await db.conn.execute("DELETE FROM commands WHERE n > 1")
            await db.conn.execute("VACUUM (ANALYZE) commands")  # it is told that there is one, in indexes of many pages
            await db.conn.execute(open_.replace("(1, 20000)", "(2, 3000)"))
        return await _plan_of(name, url)

    found = asyncio.run(plan())
    assert "commands_open_until" not in found, found
    assert "on commands" in found, found


@pytest.mark.parametrize("name", LOOKS)
def test_what_is_open_on_one_device_is_not_sought_in_all_that_it_ever_had(tmp_path: Path, name: str) -> None:
    async def plan() -> str:
        url = await url_of(tmp_path)
        async with open_pg(url) as db:
            await db.conn.execute(_FILL)
            await db.conn.execute("VACUUM (ANALYZE) commands")  # of one status: any other may be as common as that
        return await _plan_of(name, url)

    found = asyncio.run(plan())
    assert "commands_pkey" not in found, found
    assert "commands_id " not in found, found


def test_otherwise_it_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PLANS_SECONDS", 3600.0)
    before, after = asyncio.run(_plans(tmp_path / "kept"))
    assert before == after
