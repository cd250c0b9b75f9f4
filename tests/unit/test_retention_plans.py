"""What has aged is found by an index, in its order: a batch costs the same however large the history is."""

import asyncio
from pathlib import Path

import pytest

from rolltape.store.database import own_queries, queries
from rolltape.store.postgres.database import PACKAGE, open_pg, translated
from rolltape.store.sqlite.database import connect, migrate
from tests.postgres import url_of

BY_INDEX = {
    "aged_commands": "commands_aged",
    "delete_events": "events_aged",
    "delete_tokens": "device_tokens_ended",
}


@pytest.mark.parametrize("query", BY_INDEX)
def test_on_sqlite(tmp_path: Path, query: str) -> None:
    db = connect(tmp_path)
    migrate(db)
    plan = [row[3] for row in db.rows(f"EXPLAIN QUERY PLAN {queries('retention')[query]}", (1, 1))]
    db.conn.close()
    assert any(f"INDEX {BY_INDEX[query]}" in step for step in plan), plan
    assert not [step for step in plan if step.startswith("SCAN") or "TEMP" in step], plan


@pytest.mark.parametrize("query", BY_INDEX)
def test_on_postgres(tmp_path: Path, query: str) -> None:
    async def run() -> str:
        async with open_pg(await url_of(tmp_path)) as db:
            await db.conn.execute("SET enable_bitmapscan = off")  # which an empty table makes look cheap
            text, _ = translated(own_queries(PACKAGE).get(f"retention.{query}", queries("retention")[query]))
            found = await db.all(f"EXPLAIN {text.replace('$1', '1').replace('$2', '1')}")
            return "\n".join(line for (line,) in found)

    plan = asyncio.run(run())
    assert f"Scan using {BY_INDEX[query]} " in plan, plan
    assert "Sort" not in plan, plan
