"""Opening the SQLite file: pragmas, named queries, migrations, and the thin handle that operations get."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import apsw

FILE_NAME = "rolltape.db"
BUSY_TIMEOUT_MS = 10_000
SCHEMA_VERSION_KEY = "schema_version"

Row = tuple[Any, ...]
Bindings = tuple[Any, ...] | Mapping[str, Any]

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def queries(aggregate: str) -> Mapping[str, str]:
    """The named queries of `sql/<aggregate>.sql`: each begins with a line `-- name: <name>`."""
    text = (resources.files(__package__) / "sql" / f"{aggregate}.sql").read_text("utf-8")
    parts = _NAME.split(text)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """The numbered migrations, `0001_first.sql` first."""
    files = sorted(
        (file.name, file.read_text("utf-8"))
        for file in (resources.files(__package__) / "migrations").iterdir()
        if file.name.endswith(".sql")
    )
    return tuple((int(name[:4]), text) for name, text in files)


class Db:
    """One connection, as operations see it: named queries in, rows out.

    `ended` collects the devices whose binding the present transaction ends, `moved` those of whose commands it moves
    one: once it is committed, somebody must hear.
    """

    __slots__ = ("conn", "ended", "moved")

    def __init__(self, conn: apsw.Connection) -> None:
        self.conn = conn
        self.ended: list[str] = []
        self.moved: list[str] = []

    def one(self, sql: str, bindings: Bindings = ()) -> Row | None:
        """The first row, or None."""
        row: Row | None = self.conn.execute(sql, bindings).fetchone()
        return row

    def all(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """All rows."""
        rows: list[Row] = self.conn.execute(sql, bindings).fetchall()
        return rows

    def run(self, sql: str, bindings: Bindings = ()) -> None:
        """A write whose outcome the operation needn't know."""
        self.conn.execute(sql, bindings)

    def many(self, sql: str, rows: list[Bindings]) -> None:
        """The same write for many rows."""
        self.conn.executemany(sql, rows)

    def changed(self, sql: str, bindings: Bindings = ()) -> bool:
        """A guarded write: whether any row matched its guard."""
        self.conn.execute(sql, bindings)
        return bool(self.conn.changes())


def connect(folder: Path, *, readonly: bool = False) -> Db:
    """A connection to the database in `folder`, with the durability that the promises stand on.

    WAL with `synchronous=FULL`: a commit that has returned is on the disk. Raises apsw.Error when it can't be opened.
    """
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    if not readonly:
        _make_for_the_owner(folder / FILE_NAME)
    conn = apsw.Connection(str(folder / FILE_NAME), flags=flags, statementcachesize=400)
    conn.set_busy_timeout(BUSY_TIMEOUT_MS)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-65536"):
        if not (readonly and pragma.startswith("journal_mode")):
            conn.execute(f"PRAGMA {pragma}").fetchall()
    conn.execute(f"PRAGMA mmap_size={2**28}").fetchall()
    return Db(conn)


def _make_for_the_owner(file: Path) -> None:
    """A new file has mode 0600, and SQLite gives its journal the same.

    One that is there isn't opened: to close it would drop the locks that this process holds on it.
    """
    with suppress(FileExistsError, NotADirectoryError, FileNotFoundError, PermissionError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


@contextmanager
def transaction(db: Db) -> Iterator[Db]:
    """One immediate transaction: committed at the end, rolled back on any exception."""
    db.conn.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.conn.execute("COMMIT")
    except BaseException:
        if db.conn.in_transaction:  # a full disk may have ended it already
            db.conn.execute("ROLLBACK")
        raise


def schema_version(db: Db) -> int:
    """The number of the last migration that ran here; 0 for an empty file."""
    if db.one("SELECT 1 FROM sqlite_schema WHERE name = 'meta'") is None:
        return 0
    row = db.one("SELECT value FROM meta WHERE key = ?", (SCHEMA_VERSION_KEY,))
    return int(row[0]) if row else 0


def migrate(db: Db) -> int:
    """Brings the schema up to date, each step in one transaction; the version that it has then.

    Raises ValueError when the file was written by a newer Rolltape: nothing is touched.
    """
    known = migrations()[-1][0]
    if schema_version(db) > known:
        raise ValueError("the database was written by a newer Rolltape: upgrade this one, or restore an older backup")
    for number, text in migrations():
        with transaction(db):
            if schema_version(db) < number:
                db.conn.execute(text)
                db.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (SCHEMA_VERSION_KEY, str(number)))
    return known
