"""Opening the SQLite file: pragmas, migrations, and the thin handle that operations get."""

import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import apsw

from rolltape.store.database import (
    SCHEMA_VERSION_KEY,
    Bindings,
    Row,
    known_version,
    migrations,
    refuse_newer,
)

FILE_NAME = "rolltape.db"
BUSY_TIMEOUT_MS = 10_000
MAPPED_BYTES = 2**31 if sys.maxsize > 2**32 else 2**28
"""How much of the file is read where the system keeps it, not copied: address space, and no memory. SQLite's own limit
is just below 2 GiB."""
AUTOCHECKPOINT = 16_000
"""Pages of the journal after which a connection that isn't the server's writer folds it back (see `checkpoints`)."""
PACKAGE = __package__


class SqliteDb:
    """One connection. Its calls never wait: see `store.database.drive`."""

    __slots__ = ("clear_until", "conn", "created", "ended", "moved")
    sole = True

    def __init__(self, conn: apsw.Connection) -> None:
        self.conn = conn
        self.ended: list[str] = []
        self.moved: list[str] = []
        self.created: list[str] = []
        self.clear_until = 0

    def begin(self, *, wait_ms: int = BUSY_TIMEOUT_MS) -> None:
        """An immediate transaction. Raises apsw.BusyError where another process writes for so long."""
        if wait_ms == BUSY_TIMEOUT_MS:
            self.conn.execute("BEGIN IMMEDIATE")
        else:
            self.conn.set_busy_timeout(wait_ms)
            try:
                self.conn.execute("BEGIN IMMEDIATE")
            finally:
                self.conn.set_busy_timeout(BUSY_TIMEOUT_MS)
        self.clear_until = 0

    def commit(self) -> None:
        """Durable when it comes back. On any exception the transaction is rolled back."""
        try:
            self.conn.execute("COMMIT")
        except BaseException:
            self.roll_back()
            raise

    def roll_back(self) -> None:
        """Ends the transaction, if there is one: a full disk may have ended it already."""
        if self.conn.in_transaction:
            self.conn.execute("ROLLBACK")

    def first(self, sql: str, bindings: Bindings = ()) -> Row | None:
        """The first row, or None, at once: for whoever works on a file that nobody else uses."""
        row: Row | None = self.conn.execute(sql, bindings).fetchone()
        return row

    def rows(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """All rows, at once."""
        rows: list[Row] = self.conn.execute(sql, bindings).fetchall()
        return rows

    async def one(self, sql: str, bindings: Bindings = (), /) -> Row | None:
        return self.first(sql, bindings)

    async def all(self, sql: str, bindings: Bindings = (), /) -> list[Row]:
        return self.rows(sql, bindings)

    async def run(self, sql: str, bindings: Bindings = (), /) -> None:
        self.conn.execute(sql, bindings)

    async def many(self, sql: str, rows: list[Bindings], /) -> None:
        self.conn.executemany(sql, rows)

    async def count(self, sql: str, bindings: Bindings = (), /) -> int:
        self.conn.execute(sql, bindings)
        return int(self.conn.changes())

    async def changed(self, sql: str, bindings: Bindings = (), /) -> bool:
        self.conn.execute(sql, bindings)
        return bool(self.conn.changes())

    async def hold(self, device_ids: Iterable[str], /) -> None:
        """There is but one writer."""

    async def hold_free(self, device_ids: Iterable[str], /) -> set[str]:
        return set(device_ids)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        with transaction(self):
            yield

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        yield


def connect(folder: Path, *, readonly: bool = False) -> SqliteDb:
    """A connection to the database in `folder`, with the durability that the promises stand on.

    WAL with `synchronous=FULL`: a commit that has returned is on the disk. Raises apsw.Error when it can't be opened.
    """
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    if not readonly:
        _make_for_the_owner(folder / FILE_NAME)
    conn = apsw.Connection(str(folder / FILE_NAME), flags=flags, statementcachesize=400)
    conn.set_busy_timeout(BUSY_TIMEOUT_MS)
    # Else a statement whose plan might depend on a value is parsed and planned anew each time, which takes longer than
    # all of its work; and every query here goes by its index, whatever the values.
    conn.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-65536",
        f"wal_autocheckpoint={AUTOCHECKPOINT}",
    ):
        if not (readonly and pragma.startswith("journal_mode")):
            conn.execute(f"PRAGMA {pragma}").fetchall()
    conn.execute(f"PRAGMA mmap_size={MAPPED_BYTES}").fetchall()
    return SqliteDb(conn)


def _make_for_the_owner(file: Path) -> None:
    """A new file has mode 0600, and SQLite gives its journal the same.

    One that is there isn't opened: to close it would drop the locks that this process holds on it.
    """
    with suppress(FileExistsError, NotADirectoryError, FileNotFoundError, PermissionError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


@contextmanager
def transaction(db: SqliteDb) -> Iterator[SqliteDb]:
    """One immediate transaction: committed at the end, rolled back on any exception."""
    db.begin()
    try:
        yield db
    except BaseException:
        db.roll_back()
        raise
    db.commit()


def schema_version(db: SqliteDb) -> int:
    """The number of the last migration that ran here; 0 for an empty file."""
    if db.conn.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchone() is None:
        return 0
    row = db.conn.execute("SELECT value FROM meta WHERE key = ?", (SCHEMA_VERSION_KEY,)).fetchone()
    return int(row[0]) if row else 0


def migrate(db: SqliteDb) -> int:
    """Brings the schema up to date, each step in one transaction; the version that it has then.

    Raises ValueError when the file was written by a newer Rolltape: nothing is touched.
    """
    refuse_newer(schema_version(db), PACKAGE)
    for number, text in migrations(PACKAGE):
        with transaction(db):
            if schema_version(db) < number:
                db.conn.execute(text)
                facts = (SCHEMA_VERSION_KEY, str(number))
                db.conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", facts)
    return known_version(PACKAGE)
