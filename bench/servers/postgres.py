"""A PostgreSQL that is as durable as it comes, on a folder of its own."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from rolltape.testing.postgres import HURRIED, PostgresServer


@contextmanager
def postgres(*, durable: bool = True) -> Iterator[str]:
    """The URL of a PostgreSQL that has nothing in it, with its own defaults (`fsync`, `synchronous_commit`)."""
    server = PostgresServer(settings=() if durable else HURRIED)
    try:
        yield server.url
    finally:
        server.close()


@contextmanager
def database(server: str, name: str) -> Iterator[str]:
    """The URL of an empty database of that server, which goes when the context ends, its traces on the disk too."""
    asyncio.run(_one(server, f'CREATE DATABASE "{name}"'))
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        asyncio.run(_one(server, f'DROP DATABASE "{name}" WITH (FORCE)'))  # that is a checkpoint too


def first_pid(url: str) -> int:
    """The process that all others of this server are children of."""
    said = asyncio.run(_one(url, "SELECT pg_read_file('postmaster.pid')"))
    return int(str(said).split()[0])


def version(url: str) -> str:
    """As the server says it."""
    return str(asyncio.run(_one(url, "SHOW server_version")))


async def _one(url: str, sql: str) -> object:
    conn = await asyncpg.connect(url)
    try:
        return await conn.fetchval(sql)
    finally:
        await conn.close()
