"""Plans on PostgreSQL are kept, but not those that were made while a table was empty."""

import asyncio
from pathlib import Path

import pytest

from rolltape.store.connections import nobody
from rolltape.store.postgres import connections
from rolltape.store.postgres.connections import PgConnections, open_pool
from rolltape.store.postgres.database import open_pg
from rolltape.store.postgres.unit import Q
from tests.postgres import url_of

_FILL = """
INSERT INTO commands (id, tenant_n, device_id, generation, seq, type, status, params, created_at, expires_at,
                      idempotency_key, request_hash)
SELECT 'cmd_' || n, 1, 'dev_' || n % 50, 1, n, 'start_recording', 'executed', '{}', 0, 1000, n::text, ''
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
    assert after.count("using commands_list_by_status") == 2, after
    assert "using commands_idempotency" in after, after
    assert "list_by_type" not in after, after


def test_otherwise_it_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PLANS_SECONDS", 3600.0)
    before, after = asyncio.run(_plans(tmp_path / "kept"))
    assert before == after
