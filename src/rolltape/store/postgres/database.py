"""The thin handle that operations get on PostgreSQL, and the schema's migrations."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Final

import asyncpg

from rolltape.store.database import (
    SCHEMA_VERSION_KEY,
    Bindings,
    Query,
    Row,
    known_version,
    migrations,
    own_queries,
    refuse_newer,
)

PACKAGE = __package__
MIGRATING: Final = 0x726F6C6C74617065
"""The advisory lock of whoever changes the schema, or makes what a deployment has once: b"rolltape"."""
IDLE_SECONDS = 7
"""How long a transaction may say nothing before the database ends it: a node that froze must not hold others up."""
LOCK_SECONDS = 10
"""How long it may wait for a lock: longer than a node that froze can hold one, so that who waits has its turn."""
ASK_AGAIN_SECONDS = 0.05
BUILD_SECONDS = 86_400
"""How long an index may take that is made while others go on."""

_BESIDE = " CONCURRENTLY"
"""In a migration: each statement by itself, not in a transaction, so that it can be done again after it failed."""
_PLACEHOLDER = re.compile(r"'(?:[^']|'')*'|--[^\n]*|\?|(?<![:\w]):([a-z_]\w*)")
_HOLD = "SELECT device_id FROM device_bindings WHERE device_id = ANY ($1) ORDER BY device_id FOR NO KEY UPDATE"


@lru_cache(maxsize=1000)
def translated(sql: str) -> tuple[str, tuple[str, ...] | None]:
    """The text with PostgreSQL's placeholders for `?` or `:name`; with names, in which order their values go."""
    names: list[str] = []
    asked = 0

    def placeholder(match: re.Match[str]) -> str:
        nonlocal asked
        name = match[1]
        if name is not None:
            if name not in names:
                names.append(name)
            return f"${names.index(name) + 1}"
        if match[0] == "?":
            asked += 1
            return f"${asked}"
        return "" if match[0].startswith("--") else match[0]

    text = _PLACEHOLDER.sub(placeholder, sql)
    return text, tuple(names) if names else None


def _prepared(sql: str, bindings: Bindings) -> tuple[str, tuple[Any, ...]]:
    text = own_queries(PACKAGE).get(sql.name, sql) if isinstance(sql, Query) else sql
    text, names = translated(text)
    if names is None:
        return text, tuple(bindings)
    assert isinstance(bindings, Mapping), "a query with names takes its values by name"
    return text, tuple(bindings[name] for name in names)


def rows_in(status: str) -> int:
    """How many rows a command changed, by what PostgreSQL says of it: `UPDATE 3`, `INSERT 0 3`."""
    return int(status.rsplit(" ", 1)[-1])


class PgDb:
    """One connection, as operations see it."""

    __slots__ = ("clear_until", "conn", "created", "ended", "moved")
    sole = False

    def __init__(self, conn: Any) -> None:
        self.conn = conn
        self.ended: list[str] = []
        self.moved: list[str] = []
        self.created: list[str] = []
        self.clear_until = 0

    async def one(self, sql: str, bindings: Bindings = (), /) -> Row | None:
        text, values = _prepared(sql, bindings)
        record = await self.conn.fetchrow(text, *values)
        return None if record is None else tuple(record)

    async def all(self, sql: str, bindings: Bindings = (), /) -> list[Row]:
        text, values = _prepared(sql, bindings)
        return [tuple(record) for record in await self.conn.fetch(text, *values)]

    async def run(self, sql: str, bindings: Bindings = (), /) -> None:
        text, values = _prepared(sql, bindings)
        await self.conn.execute(text, *values)

    async def many(self, sql: str, rows: list[Bindings], /) -> None:
        if rows:
            prepared = [_prepared(sql, row) for row in rows]
            await self.conn.executemany(prepared[0][0], [values for _, values in prepared])

    async def count(self, sql: str, bindings: Bindings = (), /) -> int:
        text, values = _prepared(sql, bindings)
        return rows_in(await self.conn.execute(text, *values))

    async def changed(self, sql: str, bindings: Bindings = (), /) -> bool:
        return await self.count(sql, bindings) > 0

    async def hold(self, device_ids: Iterable[str], /) -> None:
        if ids := list(device_ids):
            await self.conn.fetch(_HOLD, ids)

    async def hold_free(self, device_ids: Iterable[str], /) -> set[str]:
        return {row[0] for row in await self.conn.fetch(f"{_HOLD} SKIP LOCKED", list(device_ids))}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self.conn.transaction():
            yield

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        # Asked again and again: to wait inside one statement would hold up an index that is made CONCURRENTLY.
        while not await self.conn.fetchval("SELECT pg_try_advisory_lock($1)", MIGRATING):  # noqa: ASYNC110
            await asyncio.sleep(ASK_AGAIN_SECONDS)
        try:
            yield
        finally:
            await self.conn.execute("SELECT pg_advisory_unlock($1)", MIGRATING)


async def schema_version(db: PgDb) -> int:
    """The number of the last migration that ran here; 0 for an empty database."""
    if not await db.conn.fetchval("SELECT to_regclass('meta') IS NOT NULL"):
        return 0
    return int(await db.conn.fetchval("SELECT value FROM meta WHERE key = $1", SCHEMA_VERSION_KEY) or 0)


async def migrate(db: PgDb) -> int:
    """Brings the schema up to date, each step in one transaction; the version that it has then.

    One node at a time does so, while those that serve go on; a second one that starts waits, and finds it done. Raises
    ValueError when the database was written by a newer Rolltape: nothing is touched.
    """
    if await schema_version(db) != known_version(PACKAGE):
        async with db.alone():
            await _migrate(db)
    return known_version(PACKAGE)


async def _migrate(db: PgDb) -> None:
    version = await schema_version(db)
    refuse_newer(version, PACKAGE)
    for number, text in migrations(PACKAGE):
        if number > version:
            if version > 0 and _BESIDE in text:
                for statement in filter(str.strip, text.split(";\n")):
                    await db.conn.execute(statement, timeout=BUILD_SECONDS)
                await _note_version(db, number)
            else:
                async with db.transaction():
                    await db.conn.execute(text.replace(_BESIDE, ""))  # nobody uses an empty database yet
                    await _note_version(db, number)


async def _note_version(db: PgDb, number: int) -> None:
    await db.conn.execute(
        "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2",
        SCHEMA_VERSION_KEY,
        str(number),
    )


async def connect(url: str) -> "asyncpg.Connection[Any]":
    """One connection. Raises OSError, asyncpg.PostgresError, ValueError (the URL)."""
    return await asyncpg.connect(url, **CONNECTING)


@asynccontextmanager
async def open_pg(url: str) -> AsyncIterator[PgDb]:
    """One connection to a database whose schema is brought up to date. Raises as `connect` and `migrate`."""
    db = PgDb(await connect(url))
    try:
        await migrate(db)
        yield db
    finally:
        await db.conn.close()


BY_INDEX: Final = {
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Every query but a few goes by an index to a few rows. A plan that was made while a table was empty would go through
all of it, and be kept for as long as nobody has counted the rows anew. And a plan that is made anew for each set of
values, as PostgreSQL likes to do for arrays, takes longer than what it is for."""
AS_IT_LIKES: Final = (
    "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; "
    "SET LOCAL plan_cache_mode = auto"
)
"""For the transactions that count whole tables."""


CONNECTING: Final[dict[str, Any]] = {
    "timeout": 10,
    "command_timeout": 60,
    "server_settings": {
        "application_name": "rolltape",
        **BY_INDEX,
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    },
}
