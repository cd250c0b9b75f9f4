"""A server's recordings on a real database, real files and a real socket, with a project that has one of everything."""

import asyncio
import hashlib
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec
import pytest
import uvicorn

from rolltape.clock import SystemClock
from rolltape.codes import SCOPES, Code, Problem
from rolltape.config import Settings
from rolltape.domain.principal import DevicePrincipal, KeyPrincipal, Tenant
from rolltape.service import bindings, keys, recordings
from rolltape.service.context import Services
from rolltape.service.vault import Vault
from rolltape.store.blobs import BlobStore
from rolltape.store.database import Db, Row
from rolltape.store.folder_blobs import FolderBlobs
from rolltape.store.inputs import NewCommand, NewDevice, NewEndUser
from rolltape.store.operations import accounts
from rolltape.web.app import build_app
from rolltape.wire.account import CreateKey
from rolltape.wire.device import BindDevice
from rolltape.wire.ids import new_id
from rolltape.wire.recording import CreateRecording, Recording, UploadComplete, UploadUrl, UploadUrlRequest
from rolltape.wiring.databases import open_db, open_store
from tests.s3_server import needs_weed, objects_under

T = TypeVar("T")
START = "2026-01-02T03:04:05.678Z"
TUS = {"Tus-Resumable": "1.0.0"}
PATCH_TYPE = {"Content-Type": "application/offset+octet-stream"}


class MovableClock(SystemClock):
    """The machine's clock, ahead by as much as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


@dataclass
class World:
    """One project, two end users, two devices of which the first is bound to the first user (generation 1)."""

    app: Services
    clock: MovableClock
    loop: asyncio.AbstractEventLoop
    tenant: Tenant
    other_mode: Tenant
    base_url: str = ""
    users: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        """The step's answer, from the server's own loop."""
        return asyncio.run_coroutine_threadsafe(step, self.loop).result(30)

    @property
    def key(self) -> KeyPrincipal:
        return KeyPrincipal(self.tenant, "key_1", frozenset())

    def device(self, n: int = 0, *, generation: int = 1, ended: bool = False) -> DevicePrincipal:
        return DevicePrincipal(self.tenant, self.devices[n], generation, 1, ended)

    def bind(self, n: int, user: int) -> None:
        self.run(
            self.app.store.bind_device(
                self.tenant.n, self.devices[n], self.users[user], "[]", b"", new_id("req", 0).encode(), None, self.now
            )
        )

    def api_key(self) -> dict[str, str]:
        """Headers with a new API key that may do anything."""
        maker = KeyPrincipal(self.tenant, "key_1", frozenset(SCOPES))
        made = self.run(keys.create_key(self.app, maker, CreateKey(), now=self.now))
        return {"Authorization": f"Bearer {made.key}"}

    def device_token(self) -> dict[str, str]:
        """Headers with a fresh token of the first device."""
        body = BindDevice(end_user_id=self.users[0])
        bound = self.run(bindings.bind_device(self.app, self.key, self.devices[0], body, now=self.now))
        return {"Authorization": f"Bearer {bound.device_token}"}

    def unbind(self, n: int) -> None:
        self.run(self.app.store.unbind_device(self.tenant.n, self.devices[n], True, self.now))

    def command(self, n: int, params: dict[str, Any]) -> str:
        new = NewCommand(
            id=new_id("cmd", self.now),
            tenant_n=self.tenant.n,
            device_id=self.devices[n],
            type="start_recording",
            params=msgspec.json.encode(params).decode(),
            expires_at=(self.now // 1000 + 300) * 1000,
            idempotency_key=None,
            request_hash=b"",
        )
        return self.run(self.app.store.create_command(new, self.now)).command.id

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    def create(self, who: KeyPrincipal | DevicePrincipal | None = None, **fields: Any) -> tuple[Recording, bool]:
        """POST /recordings, as the device unless said otherwise."""
        body = CreateRecording(**{"started_at": START, **fields})
        return self.run(recordings.create_recording(self.app, who or self.device(), body, now=self.now))

    def upload_url(
        self, recording_id: str, who: Any = None, kind: Any = "audio/ogg", size: int | None = None
    ) -> UploadUrl:
        body = UploadUrlRequest(content_type=kind, file_size_bytes=size)
        return self.run(
            recordings.upload_url(
                self.app, who or self.device(), recording_id, body, base_url=self.base_url, now=self.now
            )
        )

    def complete(self, recording_id: str, who: Any = None, **claim: Any) -> Recording:
        return self.run(
            recordings.complete_upload(
                self.app, who or self.device(), recording_id, UploadComplete(**claim), now=self.now
            )
        )

    def get(self, recording_id: str, who: Any = None) -> Recording:
        return self.run(recordings.get_recording(self.app, who or self.key, recording_id, now=self.now))

    def delete(self, recording_id: str) -> None:
        self.run(recordings.delete_recording(self.app, self.key, recording_id, now=self.now))

    def download_url(self, recording_id: str) -> str:
        return self.run(
            recordings.download_url(self.app, self.key, recording_id, base_url=self.base_url, now=self.now)
        ).download_url

    def uploaded(self, data: bytes) -> Recording:
        """A recording that has gone all the way."""
        recording, _ = self.create()
        assert self.put(self.upload_url(recording.id), data).status_code == 200
        return self.complete(recording.id, content_sha256=hashlib.sha256(data).hexdigest())

    def put(self, to: UploadUrl, content: Any, **headers: str) -> httpx2.Response:
        return httpx2.put(to.upload_url, content=content, headers={**to.headers, **headers})

    def head(self, to: UploadUrl) -> httpx2.Response:
        return httpx2.head(to.upload_url, headers=TUS)

    def patch(self, to: UploadUrl, offset: int, content: Any, **headers: str) -> httpx2.Response:
        sent = {**TUS, **PATCH_TYPE, "Upload-Offset": str(offset), **headers}
        return httpx2.patch(to.upload_url, content=content, headers=sent)

    def event_types(self) -> list[str]:
        """The types of all events on recordings, oldest first."""

        async def look(db: Db) -> list[Row]:
            return await db.all("SELECT type FROM events WHERE type LIKE 'recording.%' ORDER BY n")

        return [row[0] for row in self.run(self.app.store._at.read(look))]  # type: ignore[attr-defined]

    def files(self) -> list[str]:
        """The names of all media files on the disk."""
        return sorted(
            path.name for path in (self.app.config.data / "media").rglob("*") if path.is_file() and path.name != "lock"
        )


def refused(step: Any) -> Problem:
    """The problem that `step()` ends with."""
    try:
        step()
    except Problem as problem:
        return problem
    raise AssertionError("it was not refused")


def is_error(answer: httpx2.Response, status: int, code: Code) -> bool:
    """Whether the answer is that error, in the shape that all errors have."""
    error = answer.json()["error"]
    return (
        answer.status_code == status
        and error["code"] == code
        and bool(error["message"])
        and error["request_id"] == answer.headers["x-request-id"]
    )


async def _project(settings: Settings, now: int) -> tuple[Tenant, Tenant]:
    project_id = new_id("proj", now)
    async with open_db(settings) as db, db.transaction():
        await accounts.create_project(db, project_id, "p", now)
        live = Tenant(await accounts.tenant_n(db, project_id, "live"), project_id, "live")
        test = Tenant(await accounts.tenant_n(db, project_id, "test"), project_id, "test")
    return live, test


def _populate(world: World) -> None:
    for i in range(2):
        user = NewEndUser(new_id("eu", world.now), world.tenant.n, f"user-{i}", None, None, "{}")
        world.users.append(world.run(world.app.store.insert_end_user(user, world.now)).id)
        device = NewDevice(
            id=new_id("dev", world.now),
            tenant_n=world.tenant.n,
            serial_number=f"serial-{i}",
            model=None,
            name=None,
            firmware_version=None,
            connection="[]",
            grant_alg="EdDSA",
            public_key=None,
            metadata="{}",
            heartbeat_sec=60,
        )
        world.devices.append(world.run(world.app.store.register_device(device, world.now))[0].id)
    world.bind(0, 0)


@contextmanager
def open_world(
    folder: Path, *, max_bytes: int = 10**7, reserve_bytes: int = 0, blobs: BlobStore | None = None
) -> Iterator[World]:
    """A world in `folder`, served on a free port of the loopback; its bytes in `folder` too, unless elsewhere."""
    clock = MovableClock()
    loop = asyncio.new_event_loop()
    if blobs is None:
        blobs = FolderBlobs(folder / "media", max_bytes=max_bytes, reserve_bytes=reserve_bytes, clock=clock)
    settings = replace(Settings(), data=folder, max_upload_bytes=max_bytes)
    live, test = loop.run_until_complete(_project(settings, clock.now_ms()))
    store = loop.run_until_complete(open_store(settings))
    app = Services(settings, clock, store, blobs, Vault(bytes(32), "0123456789abcdef"))
    config = uvicorn.Config(build_app(app), port=0, loop="asyncio", ws="none", lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(),), daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.005)
    world = World(app, clock, loop, live, test)
    world.base_url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        _populate(world)
        yield world
    finally:
        server.should_exit = True
        thread.join(20)
        loop.run_until_complete(blobs.close())
        loop.run_until_complete(app.store.close())
        loop.close()


KINDS = ("folder", pytest.param("objects", marks=needs_weed))
"""Where the bytes of a world may be."""


def open_world_of(kind: str, folder: Path) -> AbstractContextManager[World]:
    """A world with its bytes in its folder, or as objects on the S3 server."""
    return open_world(folder, blobs=objects_under(f"api/{new_id('med', 0)}") if kind == "objects" else None)
