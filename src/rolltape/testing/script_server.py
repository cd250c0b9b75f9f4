"""A device plane that does what a test tells it: real grants, real uploads, and answers that get lost on request.

It is for testing devices where the real server is too well behaved: it can lose the answer to any call after having
acted on it, refuse a call, hold an answer back, be off-line, or live in another time. One device, one thread.
"""

import asyncio
import contextlib
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from rolltape.clock import SystemClock, machine_ms
from rolltape.testing.script_channel import ScriptChannel
from rolltape.testing.script_recordings import ScriptRecordings, ScriptUpload, script_error
from rolltape.wire.claims import Claims
from rolltape.wire.grant import sign
from rolltape.wire.ids import new_id, new_secret
from rolltape.wire.keys import Ed25519Signer, Signer, ed25519_kid, jwk
from rolltape.wire.times import iso

_OPEN = {"pending", "delivered"}


@dataclass
class ScriptCommand:
    """A command, and what became of it."""

    id: str
    type: str
    params: dict[str, Any]
    seq: int
    grant: str
    exp: int
    status: str = "pending"
    result: dict[str, Any] | None = None
    error: str | None = None
    acks: int = 0
    reports: list[dict[str, Any]] = field(default_factory=list)


class ScriptServer:
    """Use as a context manager; `url` is where it answers. Attributes may be read and set from any thread.

    `refuse["ack"] = 2`: the next two calls are answered 503 and nothing happens. `lose["ack"] = 2`: the next two are
    acted on, and answered 503. `hold("ack")`: answers wait until the event that it gives back is set. Names: heartbeat,
    pending, ack, report, refresh, recordings, upload_url, upload, complete, keys. `tls`: certificate and key, in PEM.
    `channel.works = True`: there is a live channel too; otherwise it is answered 404.
    """

    def __init__(self, *, signer: Signer | None = None, tls: tuple[Path, Path] | None = None) -> None:
        self._tls = tls
        self.key = Ed25519PrivateKey.generate()
        public = self.key.public_key().public_bytes_raw()
        self.public = public
        self.signer: Signer = signer or Ed25519Signer(ed25519_kid(public), self.key)
        self.iss = "00112233445566ff"
        self.device_id = new_id("dev", machine_ms())
        self.tokens = [new_secret("dtok_")]
        self.generation = 1
        self.next_heartbeat_sec: float = 1
        self.time_shift_ms = 0
        self.offline = False
        self.ended = False
        self.retry_after: int | None = None
        self.offer_again = False
        self.seq = itertools.count(1)
        self.last_seq = 0
        self.commands: dict[str, ScriptCommand] = {}
        self._store = ScriptRecordings(lambda: self.url)
        self.channel = ScriptChannel(self, self._tell)
        self.heartbeats: list[dict[str, Any]] = []
        self.calls: Counter[str] = Counter()
        self.refuse: Counter[str] = Counter()
        self.lose: Counter[str] = Counter()
        self.tells_time = True
        self._held: dict[str, threading.Event] = {}
        self._news: asyncio.Event | None = None
        self._offered_at: dict[str, float] = {}
        self._changed = threading.Condition()
        self._clock = SystemClock()

    # --- what a test does -------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def recordings(self) -> dict[str, ScriptUpload]:
        """Every recording that it has heard of, by id."""
        return self._store.recordings

    def delete_recording(self, recording_id: str) -> None:
        """As a backend deletes one."""
        self._store.delete(recording_id)

    @property
    def token(self) -> str:
        """The device token that works now."""
        return self.tokens[-1]

    def now_ms(self) -> int:
        """The time in this server's world."""
        return machine_ms() + self.time_shift_ms

    def command(
        self,
        type: str,
        params: dict[str, Any] | None = None,
        *,
        ttl: int = 300,
        offer: bool = True,
        claims: dict[str, Any] | None = None,
    ) -> ScriptCommand:
        """Make a command and offer it. `claims` replaces claims of its grant; `ttl` is in seconds."""
        now = self.now_ms()
        self.last_seq = next(self.seq)
        said: dict[str, Any] = {
            "iss": self.iss,
            "aud": self.device_id,
            "jti": new_id("cmd", now),
            "seq": self.last_seq,
            "gen": self.generation,
            "iat": now // 1000,
            "nbf": now // 1000,
            "exp": -(-now // 1000) + ttl,
            "type": type,
            "params": params or {},
        } | (claims or {})
        grant = sign(Claims(**said), self.signer)
        command = ScriptCommand(said["jti"], type, params or {}, said["seq"], grant, said["exp"])
        if offer:
            self.offer(command)
        return command

    def offer(self, command: ScriptCommand) -> None:
        """Offer a command (again)."""
        self.commands[command.id] = command
        self._offered_at.pop(command.id, None)
        self.wake()

    def wake(self) -> None:
        """End the long poll that waits."""
        if self._news is not None:
            self._loop.call_soon_threadsafe(self._news.set)
            self.channel.wake()

    def hold(self, name: str) -> threading.Event:
        """Hold answers back until the event is set."""
        self._held[name] = threading.Event()
        return self._held[name]

    def wait_until(self, holds: Callable[[], bool], what: str = "", seconds: float = 15.0) -> None:
        """Wait for something, looked at on each call and ten times a second. AssertionError after `seconds`."""
        until = self._clock.monotonic() + seconds
        with self._changed:
            while not holds():
                assert self._clock.monotonic() < until, f"in vain: {what or holds}"
                self._changed.wait(0.1)

    def wait_status(self, command: ScriptCommand, status: str) -> ScriptCommand:
        """Wait until the command has that status."""
        self.wait_until(lambda: command.status == status, f"{command.type} {status}")
        return command

    def uploaded(self, recording_id: str, seconds: float = 20.0) -> ScriptUpload:
        """Wait until the recording is complete; answers it."""
        done = lambda: recording_id in self.recordings and self.recordings[recording_id].complete is not None  # noqa: E731
        self.wait_until(done, f"upload of {recording_id}", seconds)
        return self.recordings[recording_id]

    def __enter__(self) -> "ScriptServer":
        config = uvicorn.Config(
            self._app(),
            host="127.0.0.1",
            port=0,
            log_level="warning",
            lifespan="off",
            timeout_graceful_shutdown=1,
            ws_ping_interval=None,
        )
        if self._tls is not None:
            config.ssl_certfile, config.ssl_keyfile = self._tls
        self._server = uvicorn.Server(config)
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._up.wait(10), "the server did not come up"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for event in self._held.values():
            event.set()
        self.offline = True
        self._server.should_exit = True
        self.wake()
        self._thread.join(10)

    # --- how it answers ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
            self._up.set()
            await self._server.serve(sockets=[listener])

    def _app(self) -> Starlette:
        me = "/v1/devices/me"
        recording = "/v1/recordings/{rec}"
        return Starlette(
            routes=[
                Route("/.well-known/jwks.json", self._named("keys", self._keys)),
                Route(f"{me}/heartbeat", self._named("heartbeat", self._heartbeat), methods=["POST"]),
                Route(f"{me}/commands/pending", self._named("pending", self._pending)),
                Route(f"{me}/commands/{{cmd}}/ack", self._named("ack", self._ack), methods=["POST"]),
                Route(f"{me}/commands/{{cmd}}/report", self._named("report", self._report), methods=["POST"]),
                Route(f"{me}/token/refresh", self._named("refresh", self._refresh), methods=["POST"]),
                Route("/v1/recordings", self._named("recordings", self._store.create), methods=["POST"]),
                Route(f"{recording}/upload-url", self._named("upload_url", self._store.upload_url), methods=["POST"]),
                Route(f"{recording}/upload-complete", self._named("complete", self._store.complete), methods=["POST"]),
                WebSocketRoute(f"{me}/channel", self.channel.endpoint),
                Route("/u/{rec}", self._named("upload", self._store.upload), methods=["HEAD", "PATCH", "PUT"]),
            ]
        )

    def _named(
        self, name: str, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            self.calls[name] += 1
            self._tell()
            response = await self._guarded(name, request, answer)
            held = self._held.get(name)
            if held is not None:
                await asyncio.to_thread(held.wait, 30)
            if self.lose[name] > 0:
                self.lose[name] -= 1
                response = self._unavailable()
            self._tell()
            return response

        return endpoint

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    async def _guarded(self, name: str, request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        if self.offline or self.refuse[name] > 0:
            self.refuse[name] = max(0, self.refuse[name] - 1)
            return self._unavailable()
        if name == "upload":
            return await answer(request)
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given not in self.tokens:
            return script_error(401, "unauthorized")
        if self.ended and name in {"heartbeat", "pending", "refresh"}:
            return script_error(401, "token_revoked")
        if given == self.tokens[-1]:
            self.tokens = [given]
        return await answer(request)

    def _unavailable(self) -> Response:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return script_error(503, "unavailable", headers)

    async def _keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [jwk(self.public)], "iss": self.iss})

    async def _heartbeat(self, request: Request) -> Response:
        return JSONResponse(self.heartbeat_answer(await request.json()))

    def heartbeat_answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """What a heartbeat is answered, by whatever way it came."""
        self.heartbeats.append(body)
        answer: dict[str, Any] = {
            "status": "ok",
            "server_time": iso(self.now_ms()) if self.tells_time else None,
            "next_heartbeat_sec": self.next_heartbeat_sec,
            "binding_generation": self.generation,
            "device_id": self.device_id,
            "grant_iss": self.iss,
            "acks": [{"id": cmd, **self.take_ack(cmd)} for cmd in body.get("acks", [])],
            "results": [self.take_result(item) for item in body.get("results", [])],
            "commands": self.offers(),
            "more": False,
        }
        if body.get("replay_state_lost"):
            answer["seq_floor"] = self.last_seq
        return answer

    def take_ack(self, command_id: str) -> dict[str, Any]:
        """Go or no go."""
        command = self.commands.get(command_id)
        if command is None:
            return {"go": False, "status": None}
        command.acks += 1
        if command.status not in _OPEN or self.ended:
            return {"go": False, "status": command.status}
        command.status = "delivered"
        return {"go": True, "status": "delivered"}

    def take_result(self, item: dict[str, Any]) -> dict[str, Any]:
        """What becomes of a report."""
        command = self.commands.get(item["id"])
        if command is None:
            return {"id": item["id"], "ok": False, "status": None, "error": {"code": "not_found", "message": ""}}
        ok = self._land(command, item)
        error = {} if ok else {"error": {"code": "result_conflict", "message": ""}}
        return {"id": command.id, "ok": ok, "status": command.status, **error}

    def _land(self, command: ScriptCommand, report: dict[str, Any]) -> bool:
        said = (report["status"], report.get("result"), (report.get("error") or {}).get("code"))
        command.reports.append(report)
        if command.status in {"executed", "failed"}:
            return said == (command.status, command.result, command.error)
        command.status, command.result, command.error = said
        return True

    def offers(self) -> list[dict[str, Any]]:
        """The commands that wait."""
        waiting = [c for c in self.commands.values() if c.status == "pending" or self.offer_again]
        return [
            {
                "id": c.id,
                "type": c.type,
                "params": c.params,
                "grant_token": c.grant,
                "expires_at": iso(c.exp * 1000),
                "seq": c.seq,
            }
            for c in sorted(waiting, key=lambda c: (c.type != "stop_recording", c.seq))[:4]
        ]

    async def _pending(self, request: Request) -> Response:
        wait = float(request.query_params.get("wait", "0"))
        assert self._news is not None
        now = self._loop.time()
        until = now + wait
        while not (self.offline or self.ended) and now < until:
            if await request.is_disconnected():
                break  # nobody hears an offer on this line any more
            fresh = [o for o in self.offers() if now - self._offered_at.get(o["id"], -99.0) >= 10]
            if fresh:
                self._offered_at |= {o["id"]: now for o in fresh}
                break
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), min(1.0, until - now))
            now = self._loop.time()
        if self.ended:
            return script_error(401, "token_revoked")
        time = iso(self.now_ms()) if self.tells_time else None
        return JSONResponse({"commands": self.offers(), "more": False, "server_time": time})

    async def _ack(self, request: Request) -> Response:
        said = self.take_ack(request.path_params["cmd"])
        if said["status"] is None:
            return script_error(404, "not_found")
        return JSONResponse(said) if said["go"] else script_error(409, "command_no_go")

    async def _report(self, request: Request) -> Response:
        command = self.commands.get(request.path_params["cmd"])
        if command is None:
            return script_error(404, "not_found")
        return (
            JSONResponse({"id": command.id})
            if self._land(command, await request.json())
            else script_error(409, "result_conflict")
        )

    async def _refresh(self, request: Request) -> Response:
        self.tokens.append(new_secret("dtok_"))
        return JSONResponse({"device_token": self.tokens[-1]})
