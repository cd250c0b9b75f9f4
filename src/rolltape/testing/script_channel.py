"""The live channel of a ScriptServer: real WebSockets, and what a test wants to go wrong on them."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from rolltape.testing.script_recordings import script_error

SUBPROTOCOL = "rolltape.channel.v1"


class Plane(Protocol):
    """What the channel asks of its server."""

    tokens: list[str]
    offline: bool
    ended: bool

    def heartbeat_answer(self, body: dict[str, Any]) -> dict[str, Any]: ...
    def take_ack(self, command_id: str) -> dict[str, Any]: ...
    def take_result(self, item: dict[str, Any]) -> dict[str, Any]: ...
    def offers(self) -> list[dict[str, Any]]: ...


@dataclass
class _Open:
    """A channel that has said hello."""

    socket: WebSocket
    offered: set[str] = field(default_factory=set)


class ScriptChannel:
    """`works`: whether there is a channel at all. `mute`: types of frames that are acted on and never answered.

    `hellos`: what each hello said. `frames`: how many of each type came. `upgrades`: how often one was asked for.
    """

    def __init__(self, plane: Plane, told: Callable[[], None]) -> None:
        self._plane = plane
        self._told = told
        self._open: list[_Open] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.works = False
        self.refusal: tuple[int, str] | None = None
        self.subprotocol: str | None = SUBPROTOCOL
        self.hello: dict[str, Any] = {}
        self.mute: set[str] = set()
        self.hellos: list[dict[str, Any]] = []
        self.frames: Counter[str] = Counter()
        self.upgrades = 0

    # --- what a test does -------------------------------------------------------------------------------------

    @property
    def open(self) -> int:
        """How many channels there are now."""
        return len(self._open)

    def send(self, frame: dict[str, Any] | str | bytes) -> None:
        """Send a frame, or something that is none, on every channel."""
        self._in_loop(self._send_all, frame)

    def close(self, code: int) -> None:
        """Close every channel."""
        self._in_loop(self._close_all, code)

    def wake(self) -> None:
        """Offer what is new."""
        if self._open:
            self._in_loop(self._offer_all)

    def _in_loop(self, work: Callable[..., Any], *arguments: Any) -> None:
        assert self._loop is not None, "no channel was ever asked for"
        asyncio.run_coroutine_threadsafe(work(*arguments), self._loop)

    # --- how it answers ---------------------------------------------------------------------------------------

    async def endpoint(self, socket: WebSocket) -> None:
        """GET /v1/devices/me/channel."""
        self._loop = asyncio.get_running_loop()
        self.upgrades += 1
        self._told()
        refusal = self._refusal(socket)
        if refusal is not None:
            await socket.send_denial_response(refusal)
            return
        await socket.accept(subprotocol=self.subprotocol)
        channel = _Open(socket)
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await self._take(channel, msgspec.json.decode(await socket.receive_text()))
        if channel in self._open:
            self._open.remove(channel)
        self._told()

    def _refusal(self, socket: WebSocket) -> Response | None:
        if not self.works:
            return script_error(404, "not_found")
        if self._plane.offline:
            return script_error(503, "unavailable")
        if self.refusal is not None:
            return script_error(*self.refusal)
        if socket.headers.get("authorization", "").removeprefix("Bearer ") not in self._plane.tokens:
            return script_error(401, "unauthorized")
        return script_error(401, "token_revoked") if self._plane.ended else None

    async def _take(self, channel: _Open, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        self.frames[kind] += 1
        answer = self._answer(channel, kind, frame)
        if answer is not None and kind not in self.mute:
            await channel.socket.send_json(answer)
        await self._offer(channel)
        self._told()

    def _answer(self, channel: _Open, kind: str, frame: dict[str, Any]) -> dict[str, Any] | None:
        match kind:
            case "hello":
                self.hellos.append(frame)
                self._open.append(channel)
                facts = {"v": 1, "ping_sec": 25, "silence_sec": 90} | self.hello
                return {"type": kind, **facts, **self._plane.heartbeat_answer(frame), "commands": []}
            case "heartbeat":
                ref = {"ref": frame["ref"]} if "ref" in frame else {}
                return {"type": kind, **ref, **self._plane.heartbeat_answer(frame), "commands": []}
            case "ack":
                said = self._plane.take_ack(frame["id"])
                return {"type": "go" if said["go"] else "no_go", "id": frame["id"], "status": said["status"]}
            case "report":
                return {"type": kind, **self._plane.take_result({k: v for k, v in frame.items() if k != "type"})}
            case "ping":
                return {"type": "pong"} | ({"ref": frame["ref"]} if "ref" in frame else {})
        return None

    async def _offer(self, channel: _Open) -> None:
        if channel not in self._open or "offer" in self.mute:
            return
        for offer in self._plane.offers():
            if offer["id"] not in channel.offered:
                channel.offered.add(offer["id"])
                await channel.socket.send_json({"type": "offer", "command": offer})

    async def _offer_all(self) -> None:
        for channel in list(self._open):
            await self._offer(channel)

    async def _send_all(self, frame: dict[str, Any] | str | bytes) -> None:
        for channel in list(self._open):
            if isinstance(frame, bytes):
                await channel.socket.send_bytes(frame)
            else:
                await channel.socket.send_text(frame if isinstance(frame, str) else msgspec.json.encode(frame).decode())

    async def _close_all(self, code: int) -> None:
        for channel in list(self._open):
            self._open.remove(channel)
            await channel.socket.close(code)
