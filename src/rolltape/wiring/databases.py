"""Which database it is: the one place that picks one, by `ROLLTAPE_DATABASE`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from rolltape.config import Settings
from rolltape.service.vault import Vault
from rolltape.service.wakeups import Bus
from rolltape.store.base import Store
from rolltape.store.connections import Hear, nobody
from rolltape.store.database import Db, drive
from rolltape.store.postgres.bus import PgBus
from rolltape.store.postgres.database import open_pg
from rolltape.store.postgres.store import PgStore
from rolltape.store.sqlite.database import FILE_NAME, SqliteDb, connect, migrate
from rolltape.store.sqlite.store import SqliteStore
from rolltape.wiring.moved import refuse_moved, refuse_unfinished

RECORDINGS_NAME = "recordings"


def prepare_folder(data: Path) -> None:
    """Makes the data folder, for its owner's eyes only."""
    if not data.exists():
        data.mkdir(parents=True, mode=0o700, exist_ok=True)  # another node may be faster


def open_database(data: Path) -> SqliteDb:
    """The database of a data folder, made if need be, its schema up to date.

    Raises ValueError where a new one would hide that the old one is gone, for a newer schema, and for one that was
    moved to PostgreSQL; OSError, apsw.Error.
    """
    prepare_folder(data)
    if not (data / FILE_NAME).exists() and any((data / RECORDINGS_NAME).rglob("med_*")):
        raise ValueError(
            f"{data} has recordings but no {FILE_NAME}: it was lost, or another disk is mounted there. "
            "Put it back, or restore a backup into an empty folder."
        )
    db = connect(data)
    try:
        migrate(db)
        drive(refuse_moved(data, db))
    except BaseException:
        db.conn.close()
        raise
    return db


@asynccontextmanager
async def open_db(settings: Settings) -> AsyncIterator[Db]:
    """One connection to the database, its schema up to date, beside whoever serves from it.

    Raises as open_database, or asyncpg.PostgresError.
    """
    if settings.database is not None:
        async with open_pg(settings.database) as pg:
            await refuse_unfinished(pg)
            yield pg
        return
    db = open_database(settings.data)
    try:
        yield db
    finally:
        db.conn.close()


def open_bus(settings: Settings, vault: Vault, hear: Callable[[tuple[str, ...]], None]) -> Bus | None:
    """How the nodes of a deployment wake each other; None where there is but one. Raises ValueError, OSError."""
    if settings.database is None:
        return None
    key = vault.derive(b"wake-ups")
    if settings.nats is None:
        return PgBus(settings.database, f"rolltape_{vault.iss}", key, hear)
    bus: Bus = nats_bus(settings).NatsBus(nats_servers(settings), f"rolltape.{vault.iss}.wakeups", key, hear)
    return bus


def nats_bus(settings: Settings) -> ModuleType:
    """The module, whose package is an extra. Raises ValueError without it."""
    try:
        from rolltape.store import nats_bus as found
    except ModuleNotFoundError as error:
        if error.name != "nats":
            raise
        raise ValueError("ROLLTAPE_NATS needs the package nats-py: pip install 'rolltape[nats]'") from None
    return found


def nats_servers(settings: Settings) -> Any:
    """Where NATS is, as set. Raises OSError where the CA or the credentials can't be used."""
    urls = tuple((settings.nats or "").split(","))
    servers = nats_bus(settings).NatsServers(urls, settings.nats_ca, settings.nats_credentials)
    servers.tls()
    servers.login()
    return servers


async def open_store(settings: Settings, on_binding_ended: Hear = nobody, on_moved: Hear = nobody) -> Store:
    """The store, on a database whose schema is up to date."""
    if settings.database is not None:
        return await PgStore.open(settings.database, on_binding_ended, on_moved, settings.pool_size)
    return SqliteStore(settings.data, on_binding_ended, on_moved)
