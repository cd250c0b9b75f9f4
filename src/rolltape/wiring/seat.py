"""Where a server sits: alone on its port, or as one node of several that a parent holds."""

import asyncio
import logging
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from rolltape.config import Settings
from rolltape.nodes.process import ANSWERS, REPLACED
from rolltape.nodes.sockets import listen, url_of
from rolltape.web.app import WebApp
from rolltape.web.siblings import Siblings
from rolltape.wiring.ending import Ending

log = logging.getLogger("rolltape")


def where(settings: Settings, sock: socket.socket) -> str:
    """The URL at which a server with that socket answers."""
    return url_of("https" if settings.tls_cert is not None else "http", settings.host, sock)


class Seat(Protocol):
    """What differs between a lone server and a node."""

    name: str

    async def meet(self, web: WebApp) -> None:
        """Makes it known to the others."""
        ...

    def leave(self) -> None:
        """It is no more to be found by the others."""
        ...

    def listen(self, settings: Settings) -> socket.socket:
        """The socket. Raises OSError."""
        ...

    def answers(self, settings: Settings, sock: socket.socket) -> None:
        """Says that the server answers."""
        ...

    async def watch(self, ending: Ending) -> None:
        """Ends the server when whoever holds it says so, or is no more."""
        ...


class Alone:
    """The one server of its port. Signals alone end it."""

    name = ""

    async def meet(self, web: WebApp) -> None:
        """There are none."""

    def leave(self) -> None:
        """There are none."""

    def listen(self, settings: Settings) -> socket.socket:
        """A socket of its own."""
        return listen(settings.host, settings.port)

    def answers(self, settings: Settings, sock: socket.socket) -> None:
        """One line on standard output."""
        sys.stdout.write(f"Rolltape is serving at {where(settings, sock)}\n")
        with suppress(BrokenPipeError):
            sys.stdout.flush()

    async def watch(self, ending: Ending) -> None:
        """Nobody holds it."""


class Node:
    """One of several. Its parent has handed it a socket, hears on its standard output that it answers, and ends it by
    a byte on its standard input, or by its own end, which closes that."""

    def __init__(self, number: int, fd: int, folder: Path) -> None:
        self.name = f"node {number} "
        self._siblings = Siblings(number, folder)
        self._fd = fd

    async def meet(self, web: WebApp) -> None:
        """By the folder that the parent made. Without it, /metrics has this node's counts alone."""
        try:
            await web.meet(self._siblings)
        except OSError as error:
            log.warning("the other nodes can't be told of this one's counts: %s", error)

    def leave(self) -> None:
        """No more."""
        self._siblings.close()

    def listen(self, settings: Settings) -> socket.socket:
        """What the parent has handed over."""
        return socket.socket(fileno=self._fd)

    def answers(self, settings: Settings, sock: socket.socket) -> None:
        """One byte to the parent."""
        with suppress(OSError):
            os.write(sys.stdout.fileno(), ANSWERS)

    async def watch(self, ending: Ending) -> None:
        """Each byte is the parent's word that it is to end; so is the parent's end."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while word := await reader.read(1):
            tell = ending.tell_replaced if word == REPLACED else ending.tell
            tell("its parent")
        if not ending.told.is_set():
            ending.tell("its parent")
