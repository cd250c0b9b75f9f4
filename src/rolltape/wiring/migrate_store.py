"""`rolltape migrate-store`: the SQLite database of a data folder into the PostgreSQL that is set.

It can be broken off at any moment and begun again: what is copied has a note in the same transaction. At the end both
sides are read anew and compared; only then does the database become the deployment's. See `store.transfer`.
"""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from rolltape.clock import machine_ms
from rolltape.config import Settings
from rolltape.service.vault import Vault, load_master_key
from rolltape.store.database import SCHEMA_VERSION_KEY, drive, known_version
from rolltape.store.operations import accounts
from rolltape.store.postgres import database as postgres
from rolltape.store.postgres.database import PgDb
from rolltape.store.postgres.trouble import GONE, may_go_better
from rolltape.store.sqlite.database import FILE_NAME, PACKAGE, SqliteDb, connect, schema_version, transaction
from rolltape.store.transfer import marks
from rolltape.store.transfer.comparing import contents
from rolltape.store.transfer.copying import CHUNK, copy_table, follow_numbers
from rolltape.store.transfer.marks import Copying, Moved
from rolltape.store.transfer.tables import Table, is_empty, size_of, tables_of
from rolltape.wiring.admin import NoDatabase
from rolltape.wiring.backup import skip_numbers
from rolltape.wiring.build import CHECK, ISS, master_key_path, place_of
from rolltape.wiring.moved import said_of

Progress = Callable[[int, int], None]
MOVING: Final = 0x726F6C6C6D6F7665
"""The advisory lock of whoever moves a folder into a database: b"rollmove"."""
ANALYZE_SECONDS: Final = 3600
SWITCH_SECONDS: Final = 0.0005


class CantMigrate(Exception):
    """The message says what to do."""


def admin_migrate_store(data: Path, progress: Progress | None = None, chunk: int = CHUNK) -> dict[str, Any]:
    """Copies all of it and compares; how many rows, and for each table their number and hash.

    `progress` hears of rows done and rows in all, each of which is copied and then compared. Raises CantMigrate,
    NoDatabase, Occupied, BrokenKey, OSError, apsw.Error.
    """
    settings = Settings.from_env(os.environ, data=data)
    _check_there(data)
    if settings.database is None:
        raise CantMigrate("Set ROLLTAPE_DATABASE to the PostgreSQL that is to have it: an empty database.")
    with place_of(settings, sole=True), closing(connect(data).conn) as conn, _quick_turns():
        return asyncio.run(_move(settings, settings.database, SqliteDb(conn), progress or _nobody, chunk))


def admin_undo_migration(data: Path) -> dict[str, Any]:
    """Makes the folder one that can be served again; its devices' counters go on as after a restored backup.

    Raises CantMigrate, NoDatabase, Occupied, OSError, apsw.Error.
    """
    _check_there(data)
    with place_of(Settings.from_env(os.environ, data=data), sole=True), closing(connect(data).conn) as conn:
        file = SqliteDb(conn)
        if drive(marks.moved(file)) is None:
            raise CantMigrate(f"The database in {data} was not moved anywhere: there is nothing to undo.")
        with transaction(file):
            skip_numbers(file)
            drive(marks.set_moved(file, None))
    return {"data": str(data)}


@contextmanager
def _quick_turns() -> Iterator[None]:
    """A thread reads the file while this one sends: SQLite lets go of the interpreter at each row, and waits Python's
    5 ms to get it back each time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _check_there(data: Path) -> None:
    if not (data / FILE_NAME).exists():
        raise NoDatabase(f"There is no database in {data}. Name the server's data folder with --data.")


def _nobody(done: int, total: int) -> None:
    """Doesn't listen."""


async def _move(settings: Settings, url: str, file: SqliteDb, progress: Progress, chunk: int) -> dict[str, Any]:
    iss = _deployment(settings, file)
    try:
        async with _target(url) as pg:
            moved_to = await _begin(settings, file, pg, iss, _place(url))
            if moved_to is None:
                return {"rows": 0, "tables": {}, "finished_before": True}
            told = await _all(file, pg, progress, chunk)
            await _finish(file, pg, moved_to)
            return {"rows": sum(one["rows"] for one in told.values()), "tables": told, "finished_before": False}
    except (*GONE, asyncpg.PostgresError) as error:
        trouble = "can't be reached" if may_go_better(error) else "refuses"
        why = str(error) or type(error).__name__
        raise CantMigrate(f"PostgreSQL {trouble} ({why}). What is copied is copied: begin again.") from None


def _deployment(settings: Settings, file: SqliteDb) -> str:
    """Whose data it is. Raises CantMigrate for another schema than this Rolltape's; BrokenKey."""
    have, want = schema_version(file), known_version(PACKAGE)
    if have > want:
        raise CantMigrate("The database in the folder was written by a newer Rolltape: use that one.")
    if have < want:
        raise CantMigrate("The database in the folder is of an older Rolltape: start this one's server on it once.")
    iss, check = (drive(accounts.meta(file, key)) for key in (ISS, CHECK))
    if iss is None or check is None:
        raise CantMigrate(
            "No server ever ran on this folder. Start one with ROLLTAPE_DATABASE set, and make keys there."
        )
    path = master_key_path(settings)
    if Vault(load_master_key(path), iss).derive(b"check").hex() != check:
        raise CantMigrate(f"The master key {path} is not the one of this database. Restore the one that belongs to it.")
    return iss


def _place(url: str) -> str:
    """Where that is, without user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'local'}{f':{parts.port}' if parts.port else ''}{parts.path}"


@asynccontextmanager
async def _target(url: str) -> AsyncIterator[PgDb]:
    """The database, with this Rolltape's schema, and nobody else who moves something there. Raises CantMigrate."""
    try:
        pg = PgDb(await postgres.connect(url))
    except ValueError as error:
        raise CantMigrate(f"ROLLTAPE_DATABASE can't be used: {error}.") from None
    try:
        have, want = await postgres.schema_version(pg), known_version(postgres.PACKAGE)
        if have > want:
            raise CantMigrate("The PostgreSQL database was written by a newer Rolltape: use that one.")
        if 0 < have < want:
            raise CantMigrate("The PostgreSQL database is of an older Rolltape: use an empty one.")
        if not await pg.conn.fetchval("SELECT pg_try_advisory_lock($1)", MOVING):
            raise CantMigrate("Somebody moves a folder into this PostgreSQL already. Wait until that ends.")
        await postgres.migrate(pg)
        yield pg
    finally:
        await pg.conn.close()


async def _begin(settings: Settings, file: SqliteDb, pg: PgDb, iss: str, to: str) -> Moved | None:
    """Marks both; the attempt that is gone on with, None where all was there already. Raises CantMigrate."""
    moved_to = await marks.moved(file)
    if moved_to is not None and await accounts.meta(pg, marks.MOVED_HERE) == moved_to.attempt:
        await _say_done(file, moved_to)  # it was killed between the two
        return None
    if moved_to is not None and (moved_to.done or moved_to.to != to):  # two copies must not both be served
        raise CantMigrate(said_of(settings.data, moved_to))
    moved_to = moved_to or Moved(secrets.token_hex(8), to, machine_ms(), done=False)
    mine = Copying(moved_to.attempt, iss)
    async with pg.alone():  # a server that starts there now sees either nothing, or the mark
        theirs = await marks.copying(pg)
        if theirs != mine:
            await _make_room(file, pg, iss, theirs)
        with transaction(file):
            await marks.set_moved(file, moved_to)
        await marks.set_copying(pg, mine)
    return moved_to


async def _make_room(file: SqliteDb, pg: PgDb, iss: str, theirs: Copying | None) -> None:
    """Sees to it that nothing is there. Raises CantMigrate where that is somebody's."""
    tables = tables_of(file)
    if theirs is not None and theirs.iss == iss:  # an attempt of this deployment's that was given up: nobody served it
        async with pg.transaction():
            await pg.conn.execute(f"TRUNCATE {', '.join(table.name for table in tables)}")
            await pg.conn.execute("DELETE FROM meta WHERE key <> $1", SCHEMA_VERSION_KEY)
    elif theirs is not None:
        raise CantMigrate("Another deployment's data is being moved into this PostgreSQL. Use an empty database.")
    elif (there := await accounts.meta(pg, ISS)) is not None:
        whose = "this deployment's data already, of another copy" if there == iss else "another deployment's data"
        raise CantMigrate(f"This PostgreSQL has {whose} (iss {there}). Use an empty database.")
    else:
        for table in tables:
            if not await is_empty(pg, table):
                raise CantMigrate(
                    f"This PostgreSQL has data already, in the table {table.name}. Use an empty database."
                )


async def _all(file: SqliteDb, pg: PgDb, progress: Progress, chunk: int) -> dict[str, dict[str, Any]]:
    tables = tables_of(file)
    total = 2 * sum(size_of(file, table) for table in tables)
    done = 0

    def heard(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, total)

    for table in tables:
        await copy_table(file, pg, table, heard, chunk)
    return {table.name: await _compared(file, pg, table, heard) for table in tables}


async def _compared(file: SqliteDb, pg: PgDb, table: Table, heard: Callable[[int], None]) -> dict[str, Any]:
    here, there = await contents(file, pg, table, heard)
    if here != there:
        raise CantMigrate(
            f"The copy differs from the original in {table.name}: {here.rows} rows with the hash {here.hash} in the "
            f"folder, {there.rows} with {there.hash} in PostgreSQL. Did somebody else write there? Nothing is served "
            "from there yet: empty the database, and begin again."
        )
    return {"rows": here.rows, "sha256": here.hash}


async def _finish(file: SqliteDb, pg: PgDb, moved_to: Moved) -> None:
    """Makes the database the deployment's, in one transaction, and says so in the file."""
    facts = [row for row in file.rows("SELECT key, value FROM meta") if row[0] not in _OWN]
    async with pg.transaction():
        await follow_numbers(file, pg, tables_of(file))
        await pg.conn.execute("DELETE FROM meta WHERE key = $1 OR starts_with(key, $2)", marks.COPYING, marks.COPIED)
        await pg.conn.copy_records_to_table("meta", records=facts, columns=("key", "value"))
        await accounts.set_meta(pg, marks.MOVED_HERE, moved_to.attempt)
    await _say_done(file, moved_to)
    await pg.conn.execute("ANALYZE", timeout=ANALYZE_SECONDS)


_OWN = (SCHEMA_VERSION_KEY, marks.MOVED_TO)


async def _say_done(file: SqliteDb, moved_to: Moved) -> None:
    with transaction(file):
        await marks.set_moved(file, Moved(moved_to.attempt, moved_to.to, machine_ms(), done=True))
