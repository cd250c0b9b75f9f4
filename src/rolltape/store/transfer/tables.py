"""Which tables a file has, as PostgreSQL has them too, and rows of them as both write them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Final

import msgspec

from rolltape.store.database import Row
from rolltape.store.postgres.database import PgDb
from rolltape.store.sqlite.database import SqliteDb

META: Final = "meta"
"""Copied by itself, at the end: with it a database is a deployment's."""
_HASH_BITS: Final = 256


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `key` has the columns of its primary key; `floats` says which columns PostgreSQL has as floats."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    floats: tuple[int, ...]

    @property
    def numbered(self) -> bool:
        """Whether it is known by `n`, its order of creation."""
        return self.key == ("n",)

    @property
    def select(self) -> str:
        """All columns, in their order."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}"  # noqa: S608  # names of the schema

    def key_of(self, row: Row) -> Row:
        """What a row is known by."""
        return tuple(row[self.columns.index(name)] for name in self.key)

    def as_postgres_has(self, rows: list[Row]) -> list[Row]:
        """The file's rows as they come back from PostgreSQL: there a number of MB is a float, whatever it was."""
        return [self._with_floats(row) for row in rows] if self.floats else rows

    def _with_floats(self, row: Row) -> Row:
        values = list(row)
        for at in self.floats:
            values[at] = None if values[at] is None else float(values[at])
        return tuple(values)


def size_of(file: SqliteDb, table: Table) -> int:
    """How many rows the file has of it."""
    rows: int = file.rows(f"SELECT count(*) FROM {table.name}")[0][0]  # noqa: S608
    return rows


async def is_empty(pg: PgDb, table: Table) -> bool:
    """Whether the database has no row of it."""
    return await pg.one(f"SELECT 1 FROM {table.name} LIMIT 1") is None  # noqa: S608


def tables_of(file: SqliteDb) -> list[Table]:
    """All tables but `meta`, each after those that it refers to."""
    names = [name for (name,) in file.rows(_TABLES) if name != META]
    refers_to = {name: {row[2] for row in file.rows(f"PRAGMA foreign_key_list({name})")} for name in sorted(names)}
    return [_table(file, name) for name in TopologicalSorter(refers_to).static_order()]


_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"


def _table(file: SqliteDb, name: str) -> Table:
    columns = file.rows(f"PRAGMA table_info({name})")
    key = sorted((row[5], row[1]) for row in columns if row[5])
    return Table(
        name,
        tuple(row[1] for row in columns),
        tuple(column for _, column in key),
        tuple(at for at, row in enumerate(columns) if row[2] == "ANY"),
    )


class Content:
    """How many rows, and a hash of all of them in whatever order they came: the sum of the SHA-256 of each."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Counts and hashes them."""
        for row in rows:
            self._sum += int.from_bytes(hashlib.sha256(_encode(row)).digest(), "big")
            self.rows += 1
        self._sum %= 1 << _HASH_BITS

    @property
    def hash(self) -> str:
        """64 hex digits."""
        return f"{self._sum:064x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and (self.rows, self._sum) == (other.rows, other._sum)

    __hash__ = None  # type: ignore[assignment]  # it grows


_encode = msgspec.msgpack.Encoder().encode
