"""uvicorn's HTTP protocol, with a last answer: once the server leaves, each connection closes with its next.

And each answer is one write: uvicorn writes its head and its body apart, each at once, and a write to a socket takes
longer than most of what else is done for a heartbeat.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState


class State(ServerState):
    """What all connections of a server share. `leaving`: each answer from now on is its connection's last."""

    def __init__(self) -> None:
        super().__init__()
        self.leaving = False

    def leave(self) -> None:
        """From now on answers carry `Connection: close`, those to requests under way too."""
        self.leaving = True
        for each in self.connections:
            if isinstance(each, Connection):
                each.make_last()

    @property
    def idle(self) -> int:
        """How many connections have no request under way: their next one may be on the line already."""
        return sum(isinstance(each, Connection) and each.is_idle for each in self.connections)


class _Joined:
    """A transport as an answer sees it: what is written first waits for the next piece, or for the loop's next turn."""

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = b""

    def write(self, data: bytes) -> None:
        if self._head is None:
            self._transport.write(data)
        elif self._head:
            head, self._head = self._head, None
            self._transport.write(head + data)
        else:
            self._head = data
            self._loop.call_soon(self._no_more_waiting)

    def _no_more_waiting(self) -> None:
        if self._head and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = None

    def close(self) -> None:
        self._no_more_waiting()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(HttpToolsProtocol):
    """One connection."""

    @property
    def is_idle(self) -> bool:
        """Whether it waits for its client's first request, or for the next."""
        return self.cycle is None or self.cycle.response_complete

    def make_last(self) -> None:
        """The request under way, if there is one, is the last."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def on_headers_complete(self) -> None:
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:  # and hasn't begun: its task runs in the loop's next turn
            self.cycle.transport = _Joined(self.transport, self.loop)  # type: ignore[assignment]
        if isinstance(self.server_state, State) and self.server_state.leaving:
            self.make_last()
