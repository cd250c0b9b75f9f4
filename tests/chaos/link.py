"""An address in front of another: a TCP forwarder that can drop, hold up, cut in the middle and fall silent."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar, cast

T = TypeVar("T")
Target = tuple[str, int] | str
"""A host and port, or the path of a Unix socket."""


class Side(asyncio.Protocol):
    """One of the two ends of a connection: what it hears is said at the other."""

    def __init__(self, link: "Link", *, is_server: bool) -> None:
        self._link = link
        self._is_server = is_server
        self._is_ended = False
        self._is_silent = False
        self._due = 0.0
        self.other: Side | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass
        if not self._is_server:
            self._link.accepted(self)

    def data_received(self, data: bytes) -> None:
        if not self._is_server:
            self._link.on_asked(data)
        elif self._link.faults.silent:
            return
        self._later(lambda other: other.say(data))

    def eof_received(self) -> bool:
        self._is_ended = True
        if self._is_server and (self._link.faults.holds_ends or self._link.faults.silent):
            self._link.held.set()
            return True
        self._later(lambda other: other.say_no_more())
        return self.other is not None and not self.other._is_ended  # the other way may still be open

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.lost(self)
        if self._is_server and self._link.faults.holds_ends:
            self._link.held.set()
            return
        self._later(lambda other: other.close())

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def abort(self) -> None:
        """Cuts this end, and with it the other."""
        if self.transport is not None:
            self.transport.abort()

    def say(self, data: bytes) -> None:
        """Says it at this end, unless that said that there would be no more."""
        if self.transport is not None and not self._is_silent and not self.transport.is_closing():
            self.transport.write(data)

    def say_no_more(self) -> None:
        """Closes this end for what would be said; it still hears."""
        if self.transport is not None and not self._is_silent and not self.transport.is_closing():
            self._is_silent = True
            with suppress(OSError):  # it is gone, and that is still to be heard
                self.transport.write_eof()

    def close(self) -> None:
        """Closes this end, once all is said."""
        if self.transport is not None:
            self.transport.close()

    def _later(self, say: Callable[["Side"], None]) -> None:
        """Says it at the other end: at once, or after the link's delay, and in any case in order."""
        loop = asyncio.get_running_loop()
        self._due = max(self._due, loop.time() + self._link.faults.delay)
        if self._due <= loop.time():
            self._say(say)
        else:
            loop.call_at(self._due, self._say, say)

    def _say(self, say: Callable[["Side"], None]) -> None:
        if self.other is not None:
            say(self.other)


@dataclass(slots=True)
class Faults:
    """What is wrong with a link at the moment. `delay`: seconds, each way. `silent`: answers are swallowed.

    `refuses`: new connections are cut at once. `holds_ends`: that the server has hung up isn't passed on.
    """

    delay: float = 0.0
    silent: bool = False
    refuses: bool = False
    holds_ends: bool = False


def _nothing(data: bytes) -> None:
    pass


@dataclass(slots=True)
class Link:
    """Listens on a free port of loopback, and forwards to `target`, which may change. For one event loop.

    `on_asked` hears what clients say, before it is passed on. `held`: an end has been held back.
    `cuts`: connections that were cut; `asked_for`: those that clients began.
    """

    target: Target
    faults: Faults = field(default_factory=Faults)
    on_asked: Callable[[bytes], None] = _nothing
    held: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    cuts: int = 0
    asked_for: int = 0
    _sides: set[Side] = field(default_factory=set)
    _opening: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begins to listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Side(self, is_server=False), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Ends, with all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        while self._sides:
            for side in self._sides:
                side.abort()
            await asyncio.sleep(0)

    def accepted(self, side: Side) -> None:
        """Somebody has connected."""
        self._sides.add(side)
        self.asked_for += 1
        if self.faults.refuses:
            side.abort()
            return
        assert side.transport is not None
        side.transport.pause_reading()
        task = asyncio.get_running_loop().create_task(self._connect(side))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def lost(self, side: Side) -> None:
        """An end is closed."""
        self._sides.discard(side)

    def drop(self, share: float, dice: Random) -> int:
        """Cuts that share of the connections; how many those are."""
        mine = [side for side in self._sides if not side._is_server]
        chosen = dice.sample(mine, round(len(mine) * share))
        for side in chosen:
            side.abort()
            if side.other is not None:
                side.other.abort()
        self.cuts += len(chosen)
        return len(chosen)

    def half_close(self, share: float, dice: Random) -> int:
        """Tells the server of that share of the connections that nothing more will come; answers still pass."""
        theirs = [side for side in self._sides if side._is_server and side.transport is not None]
        chosen = dice.sample(theirs, round(len(theirs) * share))
        for side in chosen:
            side.say_no_more()
        self.cuts += len(chosen)
        return len(chosen)

    async def _connect(self, client: Side) -> None:
        loop = asyncio.get_running_loop()
        server = Side(self, is_server=True)
        try:
            if isinstance(self.target, str):
                await loop.create_unix_connection(lambda: server, self.target)
            else:
                await loop.create_connection(lambda: server, *self.target)
        except OSError:
            client.abort()
            return
        client.other, server.other = server, client
        self._sides.add(server)
        assert client.transport is not None
        if client.transport.is_closing():
            server.abort()
        else:
            client.transport.resume_reading()


class LinkThread:
    """An event loop in a thread of its own, for links that others torment from outside it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._thread.start()
        self._links: list[Link] = []

    def open(self, target: Target) -> Link:
        """A link that listens."""
        link = Link(target)
        self.run(link.open())
        self._links.append(link)
        return link

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The answer of `work`, done on that loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def do(self, work: Callable[[], T]) -> T:
        """The same for a plain call."""

        async def done() -> T:
            return work()

        return self.run(done())

    def close(self) -> None:
        """Ends all links, and the thread."""
        for link in self._links:
            self.run(link.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
