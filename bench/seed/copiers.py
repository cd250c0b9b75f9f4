"""The two databases, as `copies` sees them."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import asyncpg

from bench.seed.copies import Copier
from rolltape.store.sqlite.database import FILE_NAME

CACHE_KIB = 1_000_000


class SqliteCopier:
    """On the file itself, without its journal: one that is cut short is thrown away."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._conn = apsw.Connection(str(self._file))
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}"):
            self._conn.execute(f"PRAGMA {pragma}").fetchall()
        self._conn.create_scalar_function("sha256", _sha256, 1, deterministic=True)  # type: ignore[arg-type]

    def numbers(self, first: int, last: int) -> str:
        counted = f"VALUES ({first}) UNION ALL SELECT i + 1 FROM g WHERE i < {last}"
        return f"(WITH RECURSIVE g(i) AS ({counted}) SELECT i FROM g) AS g"

    def padded(self, prefix: str, number: str, digits: int) -> str:
        return f"printf('{prefix}%0{digits}d', {number})"

    def sha256(self, text: str) -> str:
        return f"sha256({text})"

    async def columns(self, table: str) -> list[str]:
        return [str(row[1]) for row in self._conn.execute(f"PRAGMA table_info({table})")]

    async def run(self, sql: str) -> None:
        self._conn.execute(sql).fetchall()

    async def finish(self) -> None:
        self._conn.close()
        with self._file.open("rb") as file:
            os.fsync(file.fileno())


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class PgCopier:
    """Over a connection."""

    def __init__(self, conn: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._conn = conn

    def numbers(self, first: int, last: int) -> str:
        return f"generate_series({first}::bigint, {last}::bigint) AS g(i)"

    def padded(self, prefix: str, number: str, digits: int) -> str:
        return f"'{prefix}' || lpad(({number})::text, {digits}, '0')"

    def sha256(self, text: str) -> str:
        return f"sha256(convert_to({text}, 'UTF8'))"

    async def columns(self, table: str) -> list[str]:
        sql = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
        return [str(row[0]) for row in await self._conn.fetch(sql, table)]

    async def run(self, sql: str) -> None:
        await self._conn.execute(sql)

    async def finish(self) -> None:
        await self._conn.execute("DROP TABLE IF EXISTS bench_sample")
        await self._conn.execute("VACUUM (ANALYZE)")
        await self._conn.execute("CHECKPOINT")
        await self._conn.close()


@asynccontextmanager
async def copier(folder: Path, database: str | None) -> AsyncIterator[Copier]:
    """For a database that has its sample; whole and at rest afterwards."""
    if database is None:
        mine: Copier = SqliteCopier(folder)
    else:
        conn = await asyncpg.connect(database)
        await conn.execute("SET synchronous_commit = off")  # it is all flushed at the end
        mine = PgCopier(conn)
    yield mine
    await mine.finish()
