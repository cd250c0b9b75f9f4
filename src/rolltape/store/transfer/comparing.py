"""Whether the copy is the same: the rows of a table counted and hashed on both sides."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing

from rolltape.store.postgres.database import AS_IT_LIKES, PgDb
from rolltape.store.sqlite.database import SqliteDb
from rolltape.store.transfer.copying import CHUNK
from rolltape.store.transfer.tables import Content, Table


async def contents(file: SqliteDb, pg: PgDb, table: Table, heard: Callable[[int], None]) -> tuple[Content, Content]:
    """What the file has, and what PostgreSQL has, both read anew. `heard` hears how many rows more."""
    reading = asyncio.create_task(asyncio.to_thread(_of_file, file, table))
    try:
        there = await _of_postgres(pg, table, heard)
    finally:
        here = await reading
    return here, there


def _of_file(file: SqliteDb, table: Table) -> Content:
    content = Content()
    with closing(file.conn.execute(table.select)) as cursor:
        for rows in _pieces(cursor):
            content.add(table.as_postgres_has(rows))
    return content


def _pieces(rows: Iterator[tuple[object, ...]]) -> Iterator[list[tuple[object, ...]]]:
    piece = []
    for row in rows:
        piece.append(row)
        if len(piece) == CHUNK:
            yield piece
            piece = []
    yield piece


async def _of_postgres(pg: PgDb, table: Table, heard: Callable[[int], None]) -> Content:
    content = Content()
    async with pg.transaction():
        await pg.conn.execute(AS_IT_LIKES)
        cursor = await pg.conn.cursor(table.select)
        while rows := await cursor.fetch(CHUNK):
            await asyncio.to_thread(content.add, [tuple(row) for row in rows])
            heard(len(rows))
    return content
