"""A page of a device's commands is found by an index, in its order, whatever the filter."""

import asyncio
from pathlib import Path

import apsw
import pytest

from rolltape.store.database import queries
from rolltape.store.postgres.database import open_pg, translated
from rolltape.store.sqlite.database import connect, migrate
from tests.postgres import url_of

LISTS = {
    "list": ("commands_of_device", "commands_pkey"),
    "list_by_type": ("commands_of_device", "commands_pkey"),
    "list_by_status": ("commands_list_by_status", "commands_list_by_status"),
    "list_by_status_and_type": ("commands_list_by_status", "commands_list_by_status"),
}
VALUES = {
    "list": [],
    "list_by_type": ["start_recording"],
    "list_by_status": ["failed"],
    "list_by_status_and_type": ["failed", "start_recording"],
}
_NUMBERS = "numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)"
_FILL = """
INSERT INTO commands (id, tenant_n, device_id, generation, seq, type, status, params, created_at, expires_at)
SELECT 'cmd_' || n, 1, 'dev_' || n % 5, 1, n, 'start_recording',
       CASE n % 40 WHEN 0 THEN 'failed' ELSE 'executed' END, '{}', 0, 1000
FROM generate_series(1, 20000) AS n
"""


@pytest.mark.parametrize("query", LISTS)
def test_on_sqlite(tmp_path: Path, query: str) -> None:
    db = connect(tmp_path)
    migrate(db)
    text = queries("commands")[query]
    plan = [row[3] for row in db.rows(f"EXPLAIN QUERY PLAN {text}", ("1",) * text.count("?"))]
    db.conn.close()
    assert [f"INDEX {LISTS[query][0]} (device_id=?" in step for step in plan] == [True], plan


def test_a_type_is_told_from_the_index_alone_on_sqlite(tmp_path: Path) -> None:
    db = connect(tmp_path)
    migrate(db)
    db.conn.execute("PRAGMA foreign_keys = OFF")
    db.conn.execute("PRAGMA mmap_size = 0").fetchall()  # each page that is read is counted
    db.conn.execute(f"WITH RECURSIVE {_NUMBERS} {_FILL.partition('FROM')[0]} FROM numbers")
    before = db.conn.status(apsw.SQLITE_DBSTATUS_CACHE_HIT)[0]
    assert db.rows(queries("commands")["list_by_type"], ("dev_1", "stop_recording", 10**9, 50)) == []
    read = db.conn.status(apsw.SQLITE_DBSTATUS_CACHE_HIT)[0] - before
    db.conn.close()
    assert read < 1_000, "of 4,000 rows none was sought"


@pytest.mark.parametrize("query", LISTS)
def test_on_postgres(tmp_path: Path, query: str) -> None:
    values = ["dev_1", *VALUES[query], "9000000000", "50"]

    async def run() -> str:
        async with open_pg(await url_of(tmp_path)) as db:
            await db.conn.execute(_FILL)
            await db.conn.execute("ANALYZE commands")
            text, _ = translated(queries("commands")[query])
            for number, value in enumerate(values, 1):
                text = text.replace(f"${number}", f"'{value}'")
            return "\n".join(line for (line,) in await db.all(f"EXPLAIN {text}"))

    plan = asyncio.run(run())
    assert f"Index Scan Backward using {LISTS[query][1]} " in plan, plan
    assert "Sort" not in plan, plan
