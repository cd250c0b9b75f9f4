"""The peer's database: a pooled engine for SQLite or for PostgreSQL."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

POOL_SIZES = {"sqlite": 1, "postgres": 8}
"""SQLite has one writer and each request writes, so more connections wait for its lock instead of for the pool. Each is
the best of those that `python -m bench --only pools` measures."""


def engine_for(folder: Path, database: str | None, pool: int | None) -> AsyncEngine:
    """The engine that serves, with the durability of ours: WAL and FULL, or `synchronous_commit` as it comes."""
    if database is not None:
        url = make_url(database).set(drivername="postgresql+asyncpg")
        return create_async_engine(url, pool_size=pool or POOL_SIZES["postgres"], max_overflow=0)
    size = pool or POOL_SIZES["sqlite"]
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder / 'peer.db'}", pool_size=size, max_overflow=0)
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _on_begin)
    return engine


def seeding_engine(folder: Path, database: str | None) -> Engine:
    """The engine that makes the tables and the devices."""
    if database is not None:
        return create_engine(make_url(database).set(drivername="postgresql+psycopg"))
    return create_engine(f"sqlite:///{folder / 'peer.db'}")


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the transaction is begun below, for writing at once: no upgrade can fail
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
