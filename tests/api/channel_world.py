"""A device on its live channel, by a real WebSocket, for the tests that need one."""

import json
from contextlib import suppress
from itertools import count
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from rolltape.wire.channel import SUBPROTOCOL
from tests.api.contract_world import ContractWorld

PATH = "/v1/devices/me/channel"
PATIENCE = 20
Frame = dict[str, Any]
_marks = count(1)


class Ended(AssertionError):
    """The server has closed the channel, with that code."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Live:
    """One open channel. What comes while something else is awaited is kept for later."""

    def __init__(
        self,
        where: ContractWorld | str,
        token: str,
        *,
        path: str = PATH,
        subprotocols: str = SUBPROTOCOL,
        unread: int | None = None,
    ) -> None:
        """`where`: a world, or the URL of a server.

        `unread`: how many frames it takes from the line before they are wanted; None: all.
        """
        url = where if isinstance(where, str) else where.web.base_url
        self._connect = connect(
            url.replace("http", "ws", 1) + path,
            additional_headers={"Authorization": f"Bearer {token}"} if token else {},
            subprotocols=subprotocols.split() or None,  # type: ignore[arg-type]
            compression=None,
            ping_interval=None,
            close_timeout=1,
            max_size=None,
            max_queue=unread,
        )
        self.line: ClientConnection = self._connect.__enter__()
        self.kept: list[Frame] = []

    def close(self) -> None:
        """The device goes, in good order."""
        self._connect.__exit__(None, None, None)

    def say(self, **frame: Any) -> None:
        """One frame."""
        self.raw(json.dumps(frame))

    def raw(self, text: str | bytes) -> None:
        """Whatever it is, as one message."""
        with suppress(ConnectionClosed):  # the next thing that is heard says so
            self.line.send(text)

    def next(self) -> Frame:
        """The next frame. Raises Ended."""
        if self.kept:
            return self.kept.pop(0)
        return self._receive()

    def _receive(self) -> Frame:
        try:
            frame: Frame = json.loads(self.line.recv(PATIENCE))
        except ConnectionClosed as error:
            found = error.rcvd
            raise Ended(None if found is None else found.code, "" if found is None else found.reason) from None
        return frame

    def answer(self, *types: str, **fields: Any) -> Frame:
        """The next frame of one of these types that says so. Raises Ended."""
        while True:
            frame = self._receive()
            if frame["type"] in types and fields.items() <= frame.items():
                return frame
            self.kept.append(frame)

    def so_far(self) -> list[Frame]:
        """All that the server had to say until now, the answers to what was said before among it. Raises Ended."""
        mark = next(_marks)
        self.say(type="ping", ref=mark)
        self.answer("pong", ref=mark)
        heard, self.kept = self.kept, []
        return heard

    def ended(self) -> Ended:
        """How the server ends it, whatever it says before."""
        try:
            while True:
                self.next()
        except Ended as how:
            return how

    def hello(self, **fields: Any) -> Frame:
        """Says hello; the answer."""
        self.say(type="hello", v=1, **fields)
        return self.answer("hello")

    def ack(self, command_id: str) -> Frame:
        """Asks for the go; the answer."""
        self.say(type="ack", id=command_id)
        return self.answer("go", "no_go", "error", id=command_id)

    def report(self, command_id: str, **fields: Any) -> Frame:
        """Reports; the answer."""
        self.say(type="report", id=command_id, **{"status": "executed", **fields})
        return self.answer("report", "error", id=command_id)


def refused(world: ContractWorld, token: str, **parts: Any) -> tuple[int, dict[str, Any]]:
    """The status and the error with which a channel is refused."""
    try:
        Live(world, token, **parts).close()
    except InvalidStatus as error:
        answer = error.response
        error_body: dict[str, Any] = json.loads(bytes(answer.body or b"{}"))["error"]
        headers = {name.lower(): value for name, value in answer.headers.raw_items()}
        assert headers["x-request-id"] == error_body["request_id"]
        path = parts.get("path", PATH)
        if path.endswith("/channel"):
            world.web.document.check("GET", path, answer.status_code, headers, bytes(answer.body or b""))
        return answer.status_code, error_body
    raise AssertionError("the channel was opened")


def sweep(world: ContractWorld) -> None:
    """What the worker does each second."""

    async def look() -> None:
        for node in world.web.nodes:
            node.web.channels.sweep()

    world.web.run(look())


def offers(frames: list[Frame]) -> list[str]:
    """The ids of what is offered in these frames, in order."""
    return [frame["command"]["id"] for frame in frames if frame["type"] == "offer"]
