"""Queues on PostgreSQL: procrastinate and pgqueuer, each with its own tables in a database of its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries
from procrastinate import App, PsycopgConnector

from bench.queues.base import JOB, Put, Queue

ENTRYPOINT = "start_recording"
_LESS = (
    "no HTTP, key check, device, idempotency look-up, queue limit, event or signature; "
    "more: what runs the job and tries again is in the library"
)


def _app(url: str, pool: int) -> App:
    return App(connector=PsycopgConnector(conninfo=url, min_size=pool, max_size=pool))


@asynccontextmanager
async def procrastinate(url: str, pool: int) -> AsyncIterator[Put]:
    """One `defer` a call, on its pool of psycopg connections."""
    app = _app(url, pool)
    async with app.open_async():
        task = app.configure_task(ENTRYPOINT)
        yield lambda: task.defer_async(**JOB)  # type: ignore[arg-type]


@asynccontextmanager
async def pgqueuer(url: str, pool: int) -> AsyncIterator[Put]:
    """One `enqueue` a call, on a pool of asyncpg connections."""
    async with asyncpg.create_pool(url, min_size=pool, max_size=pool) as connections:
        queries = Queries(AsyncpgPoolDriver(connections))
        yield lambda: queries.enqueue(ENTRYPOINT, json.dumps(JOB).encode())


PROCRASTINATE = Queue("procrastinate", procrastinate, 32, _LESS)
PGQUEUER = Queue("pgqueuer", pgqueuer, 2, _LESS)


def install(name: str, url: str) -> None:
    """The queue's own tables, in a database that has none."""
    asyncio.run(_install(name, url))


async def _install(name: str, url: str) -> None:
    if name == PROCRASTINATE.name:
        app = _app(url, 1)
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
    else:
        async with asyncpg.create_pool(url, min_size=1, max_size=1) as connections:
            await Queries(AsyncpgPoolDriver(connections)).install()
