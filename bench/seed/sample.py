"""One device with one finished command, made by the server's own use cases: what all copies are made from."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from rolltape.clock import SystemClock
from rolltape.codes import Mode
from rolltape.config import Settings
from rolltape.delivery.heartbeat import heartbeat
from rolltape.domain.principal import DevicePrincipal, KeyPrincipal
from rolltape.service.auth import authenticate
from rolltape.service.bindings import bind_device
from rolltape.service.commands import create_command
from rolltape.service.context import Services
from rolltape.service.devices import register_device, update_device
from rolltape.service.end_users import create_end_user
from rolltape.wire.account import CreateEndUser
from rolltape.wire.command import CreateCommand
from rolltape.wire.device import BindDevice, RegisterDevice, UpdateDevice
from rolltape.wire.heartbeat import Heartbeat
from rolltape.wiring.admin import admin_create_key
from rolltape.wiring.build import close_services, open_services

MODE: Mode = "test"
WAITING_SECONDS = 86_400
HEARTBEAT_SECONDS = 3_600
"""A device is online for three of these. All copies were heard at one moment: with the usual minute a million would go
offline at one moment too, in the middle of a run, as no fleet does."""
STATE = {"battery_percent": 81, "storage_used_mb": 512, "storage_total_mb": 4096, "device_state": "idle"}
PARAMS = {"max_duration_sec": 1800, "upload_immediately": True}


@dataclass(frozen=True, slots=True)
class Sample:
    """A project's key, its sample device, and that device's commands: one that was executed, one that waits."""

    key: str
    device_id: str
    executed_id: str
    waiting_id: str


def make_sample(folder: Path, database: str | None) -> Sample:
    """On a fresh data folder or database, which has all its tables then."""
    with _in_environment(**database_setting(database)):
        key = admin_create_key(folder, MODE, None, None, None)["key"]
    return asyncio.run(_make_sample(Settings(data=folder, database=database), key))


async def _make_sample(settings: Settings, key: str) -> Sample:
    app = await open_services(settings, SystemClock())
    try:
        return await _sample(app, key)
    finally:
        await close_services(app)


def database_setting(url: str | None) -> dict[str, str]:
    """The setting that names the database; none for SQLite."""
    return {} if url is None else {"ROLLTAPE_DATABASE": url}


@contextmanager
def _in_environment(**values: str) -> Iterator[None]:
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]


async def _sample(app: Services, key: str) -> Sample:
    now = app.clock.now_ms()
    who = cast(KeyPrincipal, await authenticate(app, key, now))
    user = (await create_end_user(app, who, CreateEndUser(external_id="bench"), now=now)).id
    device, _ = await register_device(app, who, RegisterDevice(serial_number="RT-sample"), now=now)
    await update_device(app, who, device.id, UpdateDevice(settings={"heartbeat_sec": HEARTBEAT_SECONDS}), now=now)
    bound = await bind_device(app, who, device.id, BindDevice(end_user_id=user), now=now)
    own = cast(DevicePrincipal, await authenticate(app, bound.device_token, now))  # a token's first use is a write
    executed = await _create(app, who, device.id, CreateCommand(type="trigger_upload"), "sample-1", now)
    said = {"acks": [executed], "results": [{"id": executed, "status": "executed"}]} | STATE
    await heartbeat(app, own, device.id, msgspec.json.decode(msgspec.json.encode(said), type=Heartbeat), now=now)
    start = CreateCommand(type="start_recording", params=PARAMS, ttl_seconds=WAITING_SECONDS)
    waiting = await _create(app, who, device.id, start, "sample-2", now)
    return Sample(key, device.id, executed, waiting)


async def _create(app: Services, who: KeyPrincipal, device_id: str, body: CreateCommand, key: str, now: int) -> str:
    made, _ = await create_command(app, who, device_id, body, idempotency_key=key, now=now)
    return made.id
