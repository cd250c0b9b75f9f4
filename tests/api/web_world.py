"""A whole server on a real database and a real socket, whose every answer is held against its own document."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import uvicorn

from rolltape.clock import Clock, SystemClock
from rolltape.codes import SCOPES, Code, Mode
from rolltape.config import Settings
from rolltape.domain.principal import KeyPrincipal, Tenant
from rolltape.service import keys
from rolltape.service.context import Services
from rolltape.service.vault import Vault
from rolltape.service.wakeups import Wakeups
from rolltape.store.folder_blobs import FolderBlobs
from rolltape.store.sqlite import accounts
from rolltape.store.sqlite.database import connect, migrate, transaction
from rolltape.store.sqlite.store import SqliteStore
from rolltape.testing.openapi_check import Document
from rolltape.web.app import WebApp, build_app
from rolltape.web.operation import Operation
from rolltape.web.socket import ChannelProtocol
from rolltape.wire.account import CreateKey
from rolltape.wire.channel import FRAME_LIMIT
from rolltape.wire.ids import new_id

T = TypeVar("T")


@dataclass
class WebWorld:
    """Two projects; the first has a key for everything, one that reads devices, and devices bound and unbound."""

    app: Services
    web: WebApp
    loop: asyncio.AbstractEventLoop
    base_url: str
    http: httpx2.Client
    document: Document
    seen: set[tuple[str, int]] = field(default_factory=set)
    key: str = ""
    reader: str = ""
    other_mode: str = ""
    other_project: str = ""

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        """The step's answer, from the server's own loop."""
        return asyncio.run_coroutine_threadsafe(step, self.loop).result(30)

    def call(self, method: str, path: str, credential: str | None = None, **parts: Any) -> httpx2.Response:
        """One request, with the key for everything unless said otherwise ("" for none); its answer is documented."""
        headers = dict(parts.pop("headers", {}))
        credential = self.key if credential is None else credential
        if credential:
            headers["Authorization"] = f"Bearer {credential}"
        answer = self.http.request(method, self.base_url + path, headers=headers, **parts)
        shown = answer.request.url.raw_path.decode("ascii")
        self.document.check(method, shown, answer.status_code, dict(answer.headers), answer.content)
        self.seen.add((self.document.operation_id(method, shown) or "", answer.status_code))
        return answer

    def made(self, path: str, **body: Any) -> dict[str, Any]:
        """The object that a POST makes."""
        answer = self.call("POST", path, json=body)
        assert answer.status_code in (200, 201), answer.text
        made: dict[str, Any] = answer.json()
        return made

    def bound_device(self) -> tuple[str, str]:
        """A new device's id and token, bound to a user of its own."""
        device_id = self.made("/v1/devices", serial_number=new_id("req", 0))["id"]
        user = self.made("/v1/end-users", external_id=new_id("req", 0))["id"]
        return device_id, self.made(f"/v1/devices/{device_id}/bind", end_user_id=user)["device_token"]

    def ended_token(self, device_id: str, token: str) -> str:
        """The token after its binding is over."""
        assert self.call("POST", f"/v1/devices/{device_id}/unbind", json={"force": True}).status_code == 200
        return token


def is_refused(answer: httpx2.Response, status: int, code: Code, param: str | None = None) -> bool:
    """Whether the answer is that error."""
    error = answer.json()["error"]
    found = (answer.status_code, error["code"], error["request_id"])
    return found == (status, code, answer.headers["x-request-id"]) and (param is None or error.get("param") == param)


def one_of_each(world: WebWorld) -> dict[str, str]:
    """One thing of each kind, in the first project: the ids by the names that they have in paths."""
    device_id, _ = world.bound_device()
    return {
        "device_id": device_id,
        "command_id": world.made(f"/v1/devices/{device_id}/commands", type="trigger_upload")["id"],
        "recording_id": world.made("/v1/recordings", started_at="2026-01-02T03:04:05Z", device_id=device_id)["id"],
        "end_user_id": world.call("GET", f"/v1/devices/{device_id}").json()["end_user_id"],
        "key_id": world.made("/v1/keys")["id"],
    }


def credential_for(world: WebWorld, op: Operation, ids: dict[str, str]) -> str:
    """Who may call it: a relay near the device of `ids`, else the key for everything."""
    if not op.relay:
        return world.key
    return str(world.made("/v1/relay-tokens", end_user_id=ids["end_user_id"])["relay_token"])


def path_of(op: Operation, ids: dict[str, str]) -> str:
    """Its path, with what its query must have."""
    query = "?end_user_id={end_user_id}" if op.name == "revokeRelayTokens" else ""
    return (op.path + query).format(**ids)


def named(op: Operation) -> str:
    """What a test over operations calls each."""
    return op.name


def body_of(op: Operation, ids: dict[str, str]) -> dict[str, Any]:
    """A good body, where there is one, so that only the rest of the request can be wrong."""
    if op.body is None:
        return {}
    example = {name: value for name, value in (op.body_example or {}).items() if name != "receipt"}
    if op.name in ("bindDevice", "createRelayToken"):
        example["end_user_id"] = ids["end_user_id"]
    return {"json": example}


def raw(world: WebWorld, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """What the server answers to exactly these bytes, after which the client says no more."""
    parts = urlsplit(world.base_url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(status.split(" ")[1]), headers, body


def _project(folder: Path, vault: Vault, now: int) -> tuple[Tenant, Tenant, Tenant]:
    db = connect(folder)
    migrate(db)
    ids = [new_id("proj", now), new_id("proj", now)]
    with transaction(db):
        for id_ in ids:
            accounts.create_project(db, id_, "p", now)
        accounts.insert_signing_key(db, vault.new_signing_key(now))
    kinds: list[tuple[str, Mode]] = [(ids[0], "test"), (ids[0], "live"), (ids[1], "test")]
    with transaction(db):
        tenants = [Tenant(accounts.tenant_n(db, id_, mode), id_, mode) for id_, mode in kinds]
    vault.load_signing_keys(accounts.signing_keys(db))
    db.conn.close()
    return tenants[0], tenants[1], tenants[2]


@contextmanager
def open_web(folder: Path, *, clock: Clock | None = None, **settings: Any) -> Iterator[WebWorld]:
    """A server in `folder` on a free port of the loopback, by `clock`. Its rate limits are off unless given."""
    clock = SystemClock() if clock is None else clock
    vault, loop = Vault(bytes(32), "0123456789abcdef"), asyncio.new_event_loop()
    tenants = _project(folder, vault, clock.now_ms())
    chosen: dict[str, Any] = {"data": folder, "key_rate": 0, "device_rate": 0, **settings}
    blobs = FolderBlobs(folder / "media", max_bytes=10**7, reserve_bytes=0, clock=clock)
    wakeups = Wakeups()
    store = SqliteStore(folder, on_moved=wakeups.changed)
    app = Services(replace(Settings(), **chosen), clock, store, blobs, vault, wakeups)
    web = build_app(app)
    config = uvicorn.Config(
        web,
        port=0,
        loop="asyncio",
        http="httptools",
        ws=ChannelProtocol,
        ws_max_size=FRAME_LIMIT,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="error",
        server_header=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(),), daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.005)
    base_url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        with httpx2.Client(timeout=30) as http:
            document = Document(http.get(base_url + "/openapi.json").json())
            world = WebWorld(app, web, loop, base_url, http, document)
            _add_keys(world, tenants)
            yield world
    finally:
        server.should_exit = True
        thread.join(20)
        loop.run_until_complete(blobs.close())
        loop.run_until_complete(app.store.close())
        loop.close()


def _add_keys(world: WebWorld, tenants: tuple[Tenant, Tenant, Tenant]) -> None:
    def key(tenant: Tenant, body: CreateKey) -> str:
        root = KeyPrincipal(tenant, "key_root", frozenset(SCOPES))
        return world.run(keys.create_key(world.app, root, body, now=world.app.clock.now_ms())).key

    world.key, world.other_mode, world.other_project = (key(tenant, CreateKey()) for tenant in tenants)
    world.reader = key(tenants[0], CreateKey(scopes=["devices:read"]))
