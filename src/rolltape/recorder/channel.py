"""The live channel as the other loops see it: whether it is up, and questions that are answered over it.

It is trusted from the answer to its hello until it drops, or until a question got no answer: then it is closed, and
what was asked goes over HTTP.
"""

import asyncio
import dataclasses
from typing import Any, Protocol

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from rolltape.clock import Clock
from rolltape.recorder.heard import FrameHeard
from rolltape.recorder.log import log
from rolltape.recorder.transport import Answer

SEND_TIMEOUT_SEC = 30.0
_STATUS_OF = {
    "invalid_request": 400,
    "not_found": 404,
    "command_no_go": 409,
    "result_conflict": 409,
    "payload_too_large": 413,
}
"""What an error in a frame would be as an HTTP status. For any other the same is asked over HTTP, which says more."""


class Wire(Protocol):
    """What a channel runs on: a WebSocket to the server, or a broker. `by_broker`: see Answer."""

    by_broker: bool | None

    async def send(self, frame: dict[str, Any]) -> None:
        """One frame. Raises ConnectionClosed, OSError."""
        ...

    def abort(self) -> None:
        """Ends it, at once and without a word."""
        ...


class SocketWire:
    """A WebSocket."""

    by_broker: bool | None = None

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, frame: dict[str, Any]) -> None:
        await self.socket.send(msgspec.json.encode(frame).decode())

    def abort(self) -> None:
        self.socket.transport.abort()


class Channel:
    """`up`: the channel is there. `missing`: it can't be had now, so the slower ways have to do.
    `heard_at`: when anything was last heard on it, by the monotonic timer.

    Neither is set while there is good hope: at power-up, and for a moment after it dropped.
    """

    def __init__(self, clock: Clock, patience_sec: float) -> None:
        self._clock = clock
        self._patience = patience_sec
        self._wire: Wire | None = None
        self._asked: dict[tuple[str, str], asyncio.Future[Answer | None]] = {}
        self._refs = 0
        self.heard_at = 0.0
        self.up = asyncio.Event()
        self.missing = asyncio.Event()

    def opened(self, wire: Wire) -> None:
        """The server has answered the hello, or the broker has let the device in."""
        self._wire = wire
        self.up.set()
        self.missing.clear()

    def dropped(self) -> None:
        """It is gone: whoever waits for an answer has to ask in another way."""
        self._wire = None
        self.up.clear()
        for future in self._asked.values():
            _settle(future, None)

    def end(self) -> None:
        """Close it, at once and without a word."""
        wire = self._wire
        if wire is not None:
            self.dropped()
            wire.abort()

    @property
    def by_broker(self) -> bool | None:
        """Whether, and by what kind of broker, what is heard on it comes: see Answer."""
        return None if self._wire is None else self._wire.by_broker

    def missed(self) -> None:
        """It can't be had now."""
        if not self.up.is_set():
            self.missing.set()

    async def settled(self) -> None:
        """Until it is up or missing."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self.up, self.missing)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def ack(self, command_id: str) -> Answer | None:
        """Ask whether to act. None where it can't be asked this way."""
        return await self._ask("ack", command_id, {"id": command_id})

    async def report(self, command_id: str, report: dict[str, Any]) -> Answer | None:
        """Tell how a command ended. None where it can't be told this way."""
        return await self._ask("report", command_id, {"id": command_id, **report})

    async def heartbeat(self, body: dict[str, Any]) -> Answer | None:
        """Say how the device is. None where it can't be said this way."""
        self._refs += 1
        ref = str(self._refs)
        return await self._ask("heartbeat", ref, {"ref": ref, **body})

    def heard(self, frame: FrameHeard, text: bytes) -> None:
        """An answer came: `go`, `no_go`, `report`, `heartbeat` or `error`. One that nobody waits for is passed over."""
        match frame.type:
            case "go":
                self._answer("ack", frame.id, Answer(200, b'{"go":true}'))
            case "no_go":
                self._answer("ack", frame.id, Answer(404 if frame.status is None else 409, b""))
            case "report":
                self._answer("report", frame.id, Answer(200, text) if frame.ok else _refusal(frame))
            case "heartbeat":
                self._answer("heartbeat", frame.ref, Answer(200, text))
            case "error":
                self._answer(frame.answers, frame.id or frame.ref, _refusal(frame))

    async def say(self, wire: Wire, frame: dict[str, Any]) -> bool:
        """Send a frame; whether it went out."""
        try:
            return await self._clock.wait(_done(wire, frame), SEND_TIMEOUT_SEC) is not None
        except (ConnectionClosed, OSError):
            return False

    def _answer(self, kind: str | None, about: str | int | None, answer: Answer | None) -> None:
        future = self._asked.get((str(kind), str(about)))
        if future is not None:
            _settle(future, answer)

    async def _ask(self, kind: str, about: str, body: dict[str, Any]) -> Answer | None:
        wire = self._wire
        if wire is None or (kind, about) in self._asked:
            return None
        future = asyncio.get_running_loop().create_future()
        self._asked[kind, about] = future
        sent = self._clock.monotonic()
        try:
            if await self.say(wire, {"type": kind, **body}):
                await self._clock.wait(asyncio.wait({future}), self._patience)
        finally:
            del self._asked[kind, about]
        if future.done():
            answer: Answer | None = future.result()
            return answer and dataclasses.replace(answer, sent=sent, by_broker=wire.by_broker)
        log(f"the channel has no answer to {kind}, so it is closed")
        if wire is self._wire:
            self.end()
        return None


def _settle(future: asyncio.Future[Answer | None], answer: Answer | None) -> None:
    if not future.done():
        future.set_result(answer)


async def _done(wire: Wire, frame: dict[str, Any]) -> bool:
    await wire.send(frame)
    return True


def _refusal(frame: FrameHeard) -> Answer | None:
    status = _STATUS_OF.get(frame.refusal)
    body = msgspec.json.encode({"error": {"code": frame.refusal, "message": "", "details": {"status": frame.status}}})
    return None if status is None else Answer(status, body)
