"""The hand-written peer, on either database."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peer.__main__ import DEVICE_ID, DEVICE_TOKEN
from bench.servers.process import listening
from bench.servers.target import Population, Target

PEER = "fastapi+sqlalchemy+pyjwt"
"""The peer's name in rows; it stands on SQLite or PostgreSQL."""


def peer_name(store: str) -> str:
    """Its name with its database."""
    return f"{PEER} on {store}"


@contextmanager
def peer(folder: Path, devices: int, database: str | None = None, pool: int | None = None) -> Iterator[Target]:
    """The peer on a fresh folder, with so many devices. `database`: the URL of an empty PostgreSQL."""
    folder.mkdir()
    options = [*(("--database", database) if database else ()), *(("--pool", str(pool)) if pool else ())]
    with listening("bench.peer", str(folder), str(devices), *options) as at:
        key = json.loads((folder / "seed.json").read_text())["key"]
        named = Population(devices, DEVICE_ID, DEVICE_TOKEN)
        yield Target(peer_name("postgres" if database else "sqlite"), at.host, at.port, key, named, at.pid)
