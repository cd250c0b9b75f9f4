"""One PostgreSQL for all tests of a process; each folder gets a schema of its own."""

from functools import cache
from hashlib import sha256
from pathlib import Path

from rolltape.testing.postgres import PostgresServer


@cache
def server() -> PostgresServer:
    """The server, started when it is first needed."""
    return PostgresServer()


async def url_of(folder: Path) -> str:
    """The URL of a database that belongs to that folder: empty the first time."""
    return await server().schema(f"t{sha256(str(folder).encode()).hexdigest()[:20]}")
