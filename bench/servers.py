"""The servers that are compared, each a process of its own on a fresh folder and a free port, with its devices."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from rolltape.clock import SystemClock
from rolltape.codes import Mode
from rolltape.config import Settings
from rolltape.delivery.heartbeat import heartbeat
from rolltape.domain.principal import DevicePrincipal, KeyPrincipal
from rolltape.service.auth import authenticate
from rolltape.service.bindings import bind_device
from rolltape.service.context import Services
from rolltape.service.devices import register_device
from rolltape.service.end_users import create_end_user
from rolltape.testing.postgres import PostgresServer
from rolltape.testing.process import start_server
from rolltape.wire.account import CreateEndUser
from rolltape.wire.device import BindDevice, RegisterDevice
from rolltape.wire.heartbeat import Heartbeat
from rolltape.wiring.admin import admin_create_key
from rolltape.wiring.build import close_services, open_services

NO_LIMITS = {"ROLLTAPE_KEY_RATE": "0", "ROLLTAPE_DEVICE_RATE": "0"}
MODE: Mode = "test"
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load: an API key, and each device's id and token."""

    name: str
    host: str
    port: int
    key: str
    devices: list[tuple[str, str]]
    pid: int


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a data folder was given."""

    key: str
    devices: list[tuple[str, str]]


def prepare_ours(folder: Path, devices: int, database: str | None = None) -> Credentials:
    """A data folder with one project, one key and so many bound devices, made by the server's own use cases.

    `database`: the URL of an empty PostgreSQL; None: SQLite.
    """
    with _in_environment(**_database(database)):
        key = admin_create_key(folder, MODE, None, None, None)["key"]
    return Credentials(key, asyncio.run(_bound_devices(Settings(data=folder, database=database), key, devices)))


def _database(url: str | None) -> dict[str, str]:
    return {} if url is None else {"ROLLTAPE_DATABASE": url}


@contextmanager
def _in_environment(**values: str) -> Iterator[None]:
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]


async def _bound_devices(settings: Settings, key: str, count: int) -> list[tuple[str, str]]:
    app = await open_services(settings, SystemClock())
    try:
        now = app.clock.now_ms()
        who = cast(KeyPrincipal, await authenticate(app, key, now))
        user = (await create_end_user(app, who, CreateEndUser(external_id="bench"), now=now)).id
        made: list[tuple[str, str]] = []
        for first in range(0, count, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, count))
            made += await asyncio.gather(*(_bound_device(app, who, user, n, now) for n in numbers))
        return made
    finally:
        await close_services(app)


async def _bound_device(app: Services, who: KeyPrincipal, user: str, number: int, now: int) -> tuple[str, str]:
    device, _ = await register_device(app, who, RegisterDevice(serial_number=f"RT-{number:06d}"), now=now)
    bound = await bind_device(app, who, device.id, BindDevice(end_user_id=user), now=now)
    own = cast(DevicePrincipal, await authenticate(app, bound.device_token, now))
    await heartbeat(app, own, device.id, Heartbeat(), now=now)  # the first of a token, and of a device, is a write
    return device.id, bound.device_token


@contextmanager
def ours(folder: Path, given: Credentials, database: str | None = None) -> Iterator[Target]:
    """`rolltape serve` on a prepared folder, its rate limits switched off."""
    server = start_server(folder, 0, **NO_LIMITS, **_database(database))
    try:
        url = urlsplit(server.url)
        yield Target("rolltape", url.hostname or "", url.port or 0, given.key, given.devices, server.process.pid)
    finally:
        server.stop()


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL that has nothing in it and is as durable as it comes (`fsync`, `synchronous_commit`)."""
    server = PostgresServer(settings=())
    try:
        yield server.url
    finally:
        server.close()


@contextmanager
def peer(folder: Path, devices: int) -> Iterator[Target]:
    """The peer on a fresh folder, with so many devices."""
    folder.mkdir()
    with _spoken_for([sys.executable, "-m", "bench.peer", str(folder), str(devices)]) as (process, url):
        seeded = json.loads((folder / "seed.json").read_text())
        made = [(id_, token) for id_, token in seeded["devices"]]
        yield Target("peer", url[0], url[1], seeded["key"], made, process.pid)


@contextmanager
def echo() -> Iterator[Target]:
    """The least that a server can do: reads a body, answers a constant."""
    with _spoken_for([sys.executable, "-m", "bench.echo"]) as (process, url):
        yield Target("echo", url[0], url[1], "", [], process.pid)


@contextmanager
def _spoken_for(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """A process that prints its URL once it listens, and ends on SIGTERM."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as process:
        try:
            assert process.stdout is not None
            url = urlsplit(process.stdout.readline().strip())
            if not url.port:
                raise RuntimeError(f"{' '.join(command)} did not start")
            yield process, (url.hostname or "", url.port)
        finally:
            process.terminate()
