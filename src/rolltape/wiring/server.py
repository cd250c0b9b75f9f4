"""uvicorn, told when to end, and how: no request is lost that has come, or is about to."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from rolltape.clock import SystemClock
from rolltape.config import Settings
from rolltape.nodes.sockets import BACKLOG
from rolltape.web.access_log import AccessLog
from rolltape.web.app import WebApp
from rolltape.web.connection import Connection, State
from rolltape.web.socket import ChannelProtocol
from rolltape.wire.channel import FRAME_LIMIT

KEEP_ALIVE_SEC: Final = 75
LINGER_SECONDS: Final = 0.5
"""How long a connection without a request is kept at the end: one may be on its way."""
PATIENT_LINGER_SECONDS: Final = 3.0
"""The same where a successor serves already, so that nobody waits for the end."""
CUT_OFF_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.02
log: Final = logging.getLogger("rolltape")


class Server(uvicorn.Server):
    """uvicorn's own handlers would raise the signal again and spoil the exit code, so it has none here."""

    def __init__(self, web: WebApp, settings: Settings) -> None:
        super().__init__(_config(web, settings))
        self.state = self.server_state = State()
        self.answers = asyncio.Event()
        self.linger_seconds = LINGER_SECONDS

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no new connection, answers what comes on those that are there, and closes them."""
        log.info("no new connection is taken; %d are there", len(self.state.connections))
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        self.state.leave()
        await self._last_requests()
        log.info("waiting for %d requests under way", len(self.state.tasks))
        await super().shutdown()
        await self._let_go()
        log.info("every connection is closed")

    async def _last_requests(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.linger_seconds
        while self.state.idle and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)

    async def _let_go(self) -> None:
        """Those that the drain has cut off save what they have and answer; the store must be there until they have."""
        if self.state.tasks:
            await asyncio.wait(tuple(self.state.tasks), timeout=CUT_OFF_SECONDS)


def _config(web: WebApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        AccessLog(web, SystemClock()) if settings.access_log else web,
        http=Connection,
        ws=ChannelProtocol,
        ws_max_size=FRAME_LIMIT,
        ws_ping_interval=None,  # the channel has pings of its own, which a device on a metered link is spared
        ws_per_message_deflate=False,  # it would cost each idle channel more memory than all the rest
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SEC,
        timeout_graceful_shutdown=settings.drain_seconds,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
