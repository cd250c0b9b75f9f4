"""The schema on PostgreSQL: from nothing, by many at once, the same as on SQLite, and known to every query."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from rolltape.store.database import SCHEMA_VERSION_KEY, Query, known_version, migrations, own_queries, queries
from rolltape.store.postgres import database
from rolltape.store.postgres.database import PACKAGE, PgDb, connect, migrate, open_pg, schema_version, translated
from rolltape.store.sqlite.database import SqliteDb
from rolltape.store.sqlite.database import connect as open_file
from rolltape.store.sqlite.database import migrate as migrate_file
from tests.postgres import url_of
from tests.unit.test_migrations import AGGREGATES

FRAGMENTS = ("where", "and_", "order", "select")


def on_an_empty_database(folder: Path, use: Callable[[PgDb], Awaitable[None]]) -> None:
    """`use` on one connection."""

    async def run() -> None:
        db = PgDb(await connect(await url_of(folder)))
        try:
            await use(db)
        finally:
            await db.conn.close()

    asyncio.run(run())


def test_numbers_follow_each_other_without_a_gap() -> None:
    assert [number for number, _ in migrations(PACKAGE)] == list(range(1, known_version(PACKAGE) + 1))


def test_nodes_that_start_at_once_make_one_schema(tmp_path: Path) -> None:
    async def start(url: str) -> int:
        async with open_pg(url) as db:
            return await schema_version(db)

    async def run() -> list[int]:
        url = await url_of(tmp_path)
        return await asyncio.gather(*(start(url) for _ in range(8)))

    assert asyncio.run(run()) == [known_version(PACKAGE)] * 8


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    async def use(db: PgDb) -> None:
        await migrate(db)
        newer = str(known_version(PACKAGE) + 1)
        await db.run("UPDATE meta SET value = ? WHERE key = ?", (newer, SCHEMA_VERSION_KEY))
        with pytest.raises(ValueError, match="newer Rolltape"):
            await migrate(db)
        assert await schema_version(db) == int(newer)

    on_an_empty_database(tmp_path, use)


def test_nodes_that_come_to_an_older_database_at_once_bring_it_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Indexes are made CONCURRENTLY there, which waits for all who are at work: so nobody may wait for it in turn."""

    async def start(url: str) -> None:
        async with open_pg(url) as db:
            assert await schema_version(db) == known_version(PACKAGE)

    async def run() -> None:
        url = await url_of(tmp_path)
        with monkeypatch.context() as older:
            older.setattr(database, "migrations", lambda package: migrations(package)[:1])
            older.setattr(database, "known_version", lambda package: 1)
            async with open_pg(url) as db:
                assert await schema_version(db) == 1
                # what a try that was broken off leaves
                await db.conn.execute("CREATE INDEX commands_aged ON commands (created_at)")
        await asyncio.gather(*(start(url) for _ in range(4)))
        async with open_pg(url) as db:
            found = await db.all(
                "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid FROM pg_index "
                "JOIN pg_class ON pg_class.oid = indrelid WHERE relnamespace = current_schema()::regnamespace"
            )
        assert all(valid for _, _, valid in found)
        (aged,) = [text for name, text, _ in found if name == "commands_aged"]
        assert "CASE" in aged
        assert "commands_with_key" not in {name for name, _, _ in found}

    asyncio.run(run())


def test_a_migration_that_fails_half_way_leaves_the_version_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = known_version(PACKAGE)
    broken = (*migrations(PACKAGE), (last + 1, "CREATE TABLE extra (n INT); CREATE TABLE extra (n INT);"))

    async def use(db: PgDb) -> None:
        await migrate(db)
        monkeypatch.setattr(database, "migrations", lambda package: broken)
        monkeypatch.setattr(database, "known_version", lambda package: last + 1)
        with pytest.raises(asyncpg.DuplicateTableError):
            await migrate(db)
        assert await schema_version(db) == last
        assert await db.one("SELECT to_regclass('extra') IS NULL") == (True,)

    on_an_empty_database(tmp_path, use)


def test_it_has_the_columns_that_the_file_has(tmp_path: Path) -> None:
    file = open_file(tmp_path)
    migrate_file(file)

    async def use(db: PgDb) -> None:
        await migrate(db)
        found = await db.all(
            "SELECT table_name, column_name, is_nullable FROM information_schema.columns "
            "WHERE table_schema = current_schema()"
        )
        assert sorted(found) == sorted(_columns_of(file))

    on_an_empty_database(tmp_path, use)
    file.conn.close()


def _columns_of(file: SqliteDb) -> list[tuple[str, str, str]]:
    return [
        (table, name, "YES" if not (required or key) else "NO")
        for (table,) in file.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        for _, name, _, required, _, key in file.rows(f"PRAGMA table_info({table})")
    ]


def test_every_named_query_is_one_that_the_schema_knows(tmp_path: Path) -> None:
    own = own_queries(PACKAGE)
    shared = {query.name: query for aggregate in AGGREGATES for query in queries(aggregate).values()}
    every: dict[str, Query] = {**shared, **own}

    async def use(db: PgDb) -> None:
        await migrate(db)
        for name, query in every.items():
            if not name.split(".")[1].startswith(FRAGMENTS):
                await db.conn.prepare(translated(query)[0])

    on_an_empty_database(tmp_path, use)
    named = {name for name in own if name.split(".")[0] in AGGREGATES}
    assert named <= set(shared), "PostgreSQL has words of its own for a query that nobody asks"


@pytest.mark.parametrize(
    ("sql", "text", "names"),
    [
        ("SELECT 1 WHERE a = ? AND b = ?", "SELECT 1 WHERE a = $1 AND b = $2", None),
        ("SELECT :a, :b, :a::text", "SELECT $1, $2, $1::text", ("a", "b")),
        ("SELECT '?', ':a', ? -- not ?\n", "SELECT '?', ':a', $1 \n", None),
    ],
)
def test_placeholders_are_those_of_postgres(sql: str, text: str, names: tuple[str, ...] | None) -> None:
    assert translated(sql) == (text, names)
