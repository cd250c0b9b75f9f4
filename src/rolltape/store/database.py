"""What operations see of a database, whichever it is: named queries in, rows out.

An operation is a function `async def op(db, *facts)`. It is written once, in `store.operations`, and runs inside a
transaction that somebody else begins and commits; on SQLite it never really waits. The queries are in `store/sql`,
in words that both databases understand; where one needs its own, its folder has a query of the same name.
"""

import re
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]
Bindings = tuple[Any, ...] | Mapping[str, Any]

SCHEMA_VERSION_KEY = "schema_version"

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


class Query(str):
    """The text of a named query, which knows its name: `<aggregate>.<name>`."""

    __slots__ = ("name",)
    name: str


class Db(Protocol):
    """One connection, inside a transaction unless it only reads.

    `ended` collects the devices whose binding the present transaction ends, `moved` those of whose commands it moves
    one, `created` those that it gives a new one: once it is committed, somebody must hear (of the
    last only where that is remembered, on SQLite). `sole`: nobody else can
    write while this transaction lasts; then nothing that it can see is due before `clear_until` (ms).
    """

    ended: list[str]
    moved: list[str]
    created: list[str]
    clear_until: int

    @property
    def sole(self) -> bool: ...
    async def one(self, sql: str, bindings: Bindings = (), /) -> Row | None:
        """The first row, or None."""
        ...

    async def all(self, sql: str, bindings: Bindings = (), /) -> list[Row]:
        """All rows."""
        ...

    async def run(self, sql: str, bindings: Bindings = (), /) -> None:
        """A write whose outcome the operation needn't know."""
        ...

    async def many(self, sql: str, rows: list[Bindings], /) -> None:
        """The same write for many rows."""
        ...

    async def count(self, sql: str, bindings: Bindings = (), /) -> int:
        """A write; how many rows it changed."""
        ...

    async def changed(self, sql: str, bindings: Bindings = (), /) -> bool:
        """A guarded write: whether any row matched its guard."""
        ...

    async def hold(self, device_ids: Iterable[str], /) -> None:
        """From now to the end of the transaction nobody else changes these devices' bindings, commands or events.

        Whoever holds devices holds them all at once, and asks for nothing else that somebody may hold.
        """
        ...

    async def hold_free(self, device_ids: Iterable[str], /) -> set[str]:
        """The same for those of them that nobody holds at this moment, without waiting: these."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """One transaction: committed at the end, rolled back on any exception."""
        ...

    def alone(self) -> AbstractAsyncContextManager[None]:
        """While no other node changes the schema, or makes what a deployment has once."""
        ...


def drive(work: Coroutine[Any, Any, T]) -> T:
    """The answer of an operation on a database that answers at once. Raises what the operation raised."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    work.close()
    raise RuntimeError("an operation waited for something that isn't its database")


def _named(folder: Traversable, aggregate: str) -> dict[str, Query]:
    parts = _NAME.split((folder / f"{aggregate}.sql").read_text("utf-8"))
    found = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        query = found[name] = Query(body.strip().rstrip(";"))
        query.name = f"{aggregate}.{name}"
    return found


@cache
def queries(aggregate: str) -> Mapping[str, Query]:
    """The named queries of `sql/<aggregate>.sql`: each begins with a line `-- name: <name>`."""
    return _named(resources.files(__package__) / "sql", aggregate)


@cache
def own_queries(package: str) -> Mapping[str, Query]:
    """The queries that one database has of its own, from `sql/` in its package, by `<aggregate>.<name>`."""
    folder = resources.files(package) / "sql"
    files = [file.name.removesuffix(".sql") for file in folder.iterdir() if file.name.endswith(".sql")]
    return {query.name: query for name in files for query in _named(folder, name).values()}


def own_texts(package: str, file: str) -> dict[str, str]:
    """The texts of what is in one file of these, by name, for whoever sends them as they stand."""
    return {name: str(query) for name, query in _named(resources.files(package) / "sql", file).items()}


@cache
def migrations(package: str) -> tuple[tuple[int, str], ...]:
    """The numbered migrations in that package, `0001_first.sql` first."""
    files = sorted(
        (file.name, file.read_text("utf-8"))
        for file in (resources.files(package) / "migrations").iterdir()
        if file.name.endswith(".sql")
    )
    return tuple((int(name[:4]), text) for name, text in files)


def known_version(package: str) -> int:
    """The number of the last migration that this Rolltape knows."""
    return migrations(package)[-1][0]


def refuse_newer(version: int, package: str) -> None:
    """Raises ValueError when the database was written by a newer Rolltape: nothing is touched."""
    if version > known_version(package):
        raise ValueError("the database was written by a newer Rolltape: upgrade this one, or restore an older backup")
