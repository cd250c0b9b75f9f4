"""Rows from the file into PostgreSQL, by COPY, a piece in one transaction with the note of how far it has come."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from rolltape.store.database import Row
from rolltape.store.postgres.database import PgDb
from rolltape.store.sqlite.database import SqliteDb
from rolltape.store.transfer import marks
from rolltape.store.transfer.marks import Copied
from rolltape.store.transfer.tables import Table

CHUNK: Final = 2000
"""Rows in one piece: some MB of memory at most times, and at worst a hundred."""
_NOT_YET_DURABLE: Final = "SET LOCAL synchronous_commit = off"
"""A power cut of the database may take back the last pieces together with their notes; the end is durable."""


async def copy_table(file: SqliteDb, pg: PgDb, table: Table, heard: Callable[[int], None], chunk: int = CHUNK) -> None:
    """Copies what isn't copied yet. `heard` hears how many rows more are there, first of those that were before.

    Raises what asyncpg and apsw raise; what was copied stays, and is gone on with the next time.
    """
    at = await marks.copied(pg, table.name)
    heard(at.rows)
    rows = await asyncio.to_thread(_after, file, table, at, chunk)
    while rows:
        ahead = replace(at, after=table.key_of(rows[-1]), rows=at.rows + len(rows))
        reading = asyncio.create_task(asyncio.to_thread(_after, file, table, ahead, chunk))
        try:
            async with pg.transaction():
                await pg.conn.execute(_NOT_YET_DURABLE)
                await pg.conn.copy_records_to_table(table.name, records=rows, columns=table.columns)
                await marks.set_copied(pg, table.name, ahead)
        finally:
            following = await reading  # also where this fails: nobody else may use the file meanwhile
        heard(len(rows))
        at, rows = ahead, following


def _after(file: SqliteDb, table: Table, at: Copied, limit: int) -> list[Row]:
    """The next rows in the order of the key, as PostgreSQL is to have them."""
    names = ", ".join(table.key)
    where = "" if at.after is None else f"WHERE ({names}) > ({', '.join('?' * len(table.key))})"
    found = file.rows(f"{table.select} {where} ORDER BY {names} LIMIT ?", (*(at.after or ()), limit))
    return table.as_postgres_has(found)


async def follow_numbers(file: SqliteDb, pg: PgDb, tables: list[Table]) -> None:
    """Sets each sequence past every number that the file ever gave out, also those whose rows are gone."""
    given: dict[str, int] = dict(file.rows("SELECT name, seq FROM sqlite_sequence"))
    for table in tables:
        if table.numbered and given.get(table.name):
            await pg.conn.execute(
                "SELECT setval(pg_get_serial_sequence($1, 'n'), $2::bigint)", table.name, given[table.name]
            )
