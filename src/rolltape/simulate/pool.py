"""HTTP/1.1 connections that a whole fleet shares: a call is some bytes and what to do with the answer, not a task.

Each request carries its own token, so any connection will do. Answers are read with httptools. docs/simulate.md says
what that saves against a client library.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from itertools import cycle
from typing import Final, cast
from urllib.parse import urlsplit

import httptools

from rolltape.clock import Clock

SWEEP_SEC: Final = 0.5


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a server listens. `prefix`: the path that its URL begins with, empty for most."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    prefix: str

    @property
    def host_header(self) -> str:
        """The value of the header Host."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def origin_of(url: str, tls: ssl.SSLContext | None) -> Origin:
    """The origin of a server's URL, http or https. `tls` is used for https only."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    return Origin(parts.hostname or "", port, (tls or ssl.create_default_context()) if secure else None, parts.path)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; `status` 0: nothing did."""

    status: int
    body: bytes = b""
    retry_after: str | None = None


NOTHING: Final = Reply(0)
Done = Callable[[Reply], None]


class Cut(Enum):
    """Where a connection is made to break."""

    NOT = auto()
    HALFWAY = auto()
    AFTER = auto()


@dataclass(slots=True)
class _Call:
    request: bytes
    done: Done
    since: float
    cut: Cut


class _Connection(asyncio.Protocol):
    """One connection, one call at a time."""

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.call: _Call | None = None
        self.transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._retry_after: str | None = None
        self._whole = False
        self._stays = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass
        self.pool.opened(self)

    def take(self, call: _Call) -> None:
        """Sends a request. Its time counts from here: else a queue that is as long as the patience answers nobody."""
        self.call = call
        call.since = self.pool.now()
        match call.cut:
            case Cut.NOT:
                self.transport.write(call.request)
            case Cut.HALFWAY:
                self.transport.write(call.request[: len(call.request) * 2 // 3])
                self.transport.close()
            case Cut.AFTER:
                self.transport.write(call.request)
                self.transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()
            return
        if self._whole:
            self._answered()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._body += body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._whole = True
        self._stays = self._parser.should_keep_alive()  # it is gone from the parser afterwards

    def _answered(self) -> None:
        reply = Reply(self._parser.get_status_code(), self._body, self._retry_after)
        self._body, self._retry_after, self._whole = b"", None, False
        call, self.call = self.call, None
        if self._stays:
            self.pool.free(self)
        else:
            self.transport.close()
        if call is not None:
            call.done(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        call, self.call = self.call, None
        self.pool.closed(self)
        if call is not None:
            call.done(NOTHING)


class Pool:
    """Up to `most` connections, opened to the origins in turn.

    A call that has waited for `patience` s for its turn is given up, and so is one that was sent so long ago.
    """

    def __init__(self, origins: list[Origin], clock: Clock, *, most: int, patience: float) -> None:
        self._origins = cycle(origins)
        self._clock = clock
        self._most = most
        self._patience = patience
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[_Call] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __len__(self) -> int:
        """How many connections are open."""
        return len(self._all)

    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock.monotonic()

    def call(self, request: bytes, done: Done, cut: Cut = Cut.NOT) -> None:
        """Sends `request` once there is a connection; `done` is called once: with NOTHING where no answer came."""
        if self._sweeper is None:
            self._sweep()
        call = _Call(request, done, self._clock.monotonic(), cut)
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():  # it may be, and not have said so yet
                connection.take(call)
                return
        self._waiting.append(call)
        self._more()

    async def close(self) -> None:
        """Ends all connections; calls that are open hear NOTHING."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in tuple(self._all):
            connection.transport.abort()
        while self._waiting:
            self._waiting.popleft().done(NOTHING)

    def _more(self) -> None:
        """One more connection, where calls wait for one and there may be more."""
        if len(self._opening) < len(self._waiting) and len(self._all) + len(self._opening) < self._most:
            task = asyncio.get_running_loop().create_task(self._open(next(self._origins)))
            self._opening.add(task)
            task.add_done_callback(self._was_opened)

    def _was_opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not self._is_closed:
            self._more()  # what it was opened for may have cut it, and asked for more

    async def _open(self, origin: Origin) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience):
                await loop.create_connection(lambda: _Connection(self), origin.host, origin.port, ssl=origin.tls)
        except (OSError, TimeoutError):
            if self._waiting:
                self._waiting.popleft().done(NOTHING)

    def opened(self, connection: _Connection) -> None:
        """A connection is there."""
        if self._is_closed:
            connection.transport.abort()
            return
        self._all.add(connection)
        self.free(connection)

    def free(self, connection: _Connection) -> None:
        """A connection has nothing to do."""
        if connection.transport.is_closing():
            return
        if self._waiting:
            connection.take(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def closed(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._is_closed:
            self._more()

    def _sweep(self) -> None:
        late = self._clock.monotonic() - self._patience
        for connection in [one for one in self._all if one.call is not None and one.call.since < late]:
            connection.transport.abort()
        while self._waiting and self._waiting[0].since < late:
            self._waiting.popleft().done(NOTHING)
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SEC, self._sweep)
