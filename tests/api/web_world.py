"""A whole server on a real database and a real socket, whose every answer is held against its own document."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import httpx2
import uvicorn

from rolltape.clock import Clock, SystemClock
from rolltape.codes import SCOPES, Code, Mode
from rolltape.config import Settings
from rolltape.domain.principal import KeyPrincipal, Tenant
from rolltape.service import keys
from rolltape.service.context import Services
from rolltape.service.doors import Doors
from rolltape.service.vault import Vault
from rolltape.service.wakeups import Wakeups
from rolltape.store.folder_blobs import FolderBlobs
from rolltape.store.operations import accounts
from rolltape.store.postgres.bus import PgBus
from rolltape.testing.openapi_check import Document
from rolltape.web.app import WebApp, build_app
from rolltape.web.operation import Operation
from rolltape.web.socket import ChannelProtocol
from rolltape.wire.account import CreateKey
from rolltape.wire.channel import FRAME_LIMIT
from rolltape.wire.ids import new_id
from rolltape.wiring.broker import BrokerSide
from rolltape.wiring.build import close_services
from rolltape.wiring.databases import open_bus, open_db, open_store
from tests.postgres import url_of

T = TypeVar("T")


Kind = Literal["sqlite", "postgres", "two nodes"]
STORES: tuple[Kind, ...] = ("sqlite", "postgres")
"""What the tests of the contract run on: a file, and a real PostgreSQL."""
NODES: tuple[Kind, ...] = ("sqlite", "two nodes")
"""The same where all that counts is in the database: then each request goes to another node than the one before."""


@dataclass
class Node:
    """One server."""

    app: Services
    web: WebApp
    server: uvicorn.Server
    broker: BrokerSide | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"


@dataclass
class WebWorld:
    """Two projects; the first has a key for everything, one that reads devices, and devices bound and unbound."""

    app: Services
    web: WebApp
    loop: asyncio.AbstractEventLoop
    base_url: str
    http: httpx2.Client
    document: Document
    nodes: list[Node]
    seen: set[tuple[str, int]] = field(default_factory=set)
    key: str = ""
    reader: str = ""
    _turn: Iterator[Node] = field(init=False)
    other_mode: str = ""
    other_project: str = ""

    def __post_init__(self) -> None:
        self._turn = cycle(self.nodes)

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        """The step's answer, from the server's own loop."""
        return asyncio.run_coroutine_threadsafe(step, self.loop).result(30)

    def call(self, method: str, path: str, credential: str | None = None, **parts: Any) -> httpx2.Response:
        """One request, with the key for everything unless said otherwise ("" for none); its answer is documented."""
        headers = dict(parts.pop("headers", {}))
        credential = self.key if credential is None else credential
        if credential:
            headers["Authorization"] = f"Bearer {credential}"
        node = next(self._turn)
        answer = self.http.request(method, node.url + path, headers=headers, **parts)
        self._pass_news(node)
        shown = answer.request.url.raw_path.decode("ascii")
        self.document.check(method, shown, answer.status_code, dict(answer.headers), answer.content)
        self.seen.add((self.document.operation_id(method, shown) or "", answer.status_code))
        return answer

    def _pass_news(self, node: Node) -> None:
        """Comes back once the other nodes have heard of all that this one had to tell."""
        others = [other for other in self.nodes if other is not node]
        if others:
            self.run(_heard_by(others, node))

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


async def _heard_by(others: list[Node], node: Node) -> None:
    mark = new_id("req", 0)
    signals = [other.app.wakeups.signal(mark) for other in others]
    with ExitStack() as stack:
        heard = [stack.enter_context(signal) for signal in signals]
        node.app.wakeups.tell_others(mark)
        await asyncio.gather(*(asyncio.wait_for(each.wait(), 20) for each in heard))


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


async def _project(settings: Settings, vault: Vault, now: int) -> tuple[Tenant, Tenant, Tenant]:
    ids = [new_id("proj", now), new_id("proj", now)]
    kinds: list[tuple[str, Mode]] = [(ids[0], "test"), (ids[0], "live"), (ids[1], "test")]
    async with open_db(settings) as db, db.transaction():
        for id_ in ids:
            await accounts.create_project(db, id_, "p", now)
        await accounts.insert_signing_key(db, vault.new_signing_key(now))
        tenants = [Tenant(await accounts.tenant_n(db, id_, mode), id_, mode) for id_, mode in kinds]
        vault.load_signing_keys(await accounts.signing_keys(db))
    return tenants[0], tenants[1], tenants[2]


@contextmanager
def open_web(
    folder: Path, *, clock: Clock | None = None, store: Kind = "sqlite", **settings: Any
) -> Iterator[WebWorld]:
    """A server in `folder` on a free port of the loopback, by `clock`. Its rate limits are off unless given."""
    clock = SystemClock() if clock is None else clock
    loop = asyncio.new_event_loop()
    vault = Vault(bytes(32), "0123456789abcdef")
    chosen = replace(Settings(), **{"data": folder, "key_rate": 0, "device_rate": 0, **settings})
    if store != "sqlite":
        chosen = replace(chosen, database=loop.run_until_complete(url_of(folder)), pool_size=4)
    tenants = loop.run_until_complete(_project(chosen, vault, clock.now_ms()))
    nodes = [loop.run_until_complete(_node(chosen, clock, vault)) for _ in range(2 if store == "two nodes" else 1)]
    thread = threading.Thread(target=loop.run_until_complete, args=(_serve(nodes),), daemon=True)
    thread.start()
    while not all(node.server.started for node in nodes):
        threading.Event().wait(0.005)
    try:
        with httpx2.Client(timeout=30) as http:
            document = Document(http.get(nodes[0].url + "/openapi.json").json())
            world = WebWorld(nodes[0].app, nodes[0].web, loop, nodes[0].url, http, document, nodes)
            _add_keys(world, tenants)
            yield world
    finally:
        for node in nodes:
            node.server.should_exit = True
        thread.join(20)
        for node in nodes:
            loop.run_until_complete(close_services(node.app))
        loop.close()


async def _serve(nodes: list[Node]) -> None:
    sides = [node.broker for node in nodes if node.broker is not None]
    for side in sides:
        side.start()
    await asyncio.gather(*(node.server.serve() for node in nodes))
    for side in sides:
        await side.stop(1)


async def _node(settings: Settings, clock: Clock, vault: Vault) -> Node:
    blobs = FolderBlobs(settings.data / "media", max_bytes=10**7, reserve_bytes=0, clock=clock)
    wakeups = Wakeups()
    doors = Doors()
    store = await open_store(settings, doors.shut_out, wakeups.changed)
    wakeups.bus = open_bus(settings, vault, wakeups.heard)
    app = Services(settings, clock, store, blobs, vault, wakeups, doors=doors)
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
    if isinstance(wakeups.bus, PgBus):
        await wakeups.bus.listening.wait()
    side = None if settings.mqtt is None else BrokerSide(app, web.over_device_rate)
    return Node(app, web, uvicorn.Server(config), side)


def _add_keys(world: WebWorld, tenants: tuple[Tenant, Tenant, Tenant]) -> None:
    def key(tenant: Tenant, body: CreateKey) -> str:
        root = KeyPrincipal(tenant, "key_root", frozenset(SCOPES))
        return world.run(keys.create_key(world.app, root, body, now=world.app.clock.now_ms())).key

    world.key, world.other_mode, world.other_project = (key(tenant, CreateKey()) for tenant in tenants)
    world.reader = key(tenants[0], CreateKey(scopes=["devices:read"]))
