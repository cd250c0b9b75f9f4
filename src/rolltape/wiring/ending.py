"""How a server is told to end: by a signal, or by the process that holds it. First notice, where that is set, then all
that is held back goes out and no new connection is taken."""

import asyncio
import logging
import signal
from typing import Final, Literal

from rolltape.web.app import WebApp
from rolltape.wiring.server import PATIENT_LINGER_SECONDS, Server

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
log: Final = logging.getLogger("rolltape")
Teller = Literal["a signal", "its parent"]


class Ending:
    """The end of one server. The same teller a second time is in a hurry: the notice is over then."""

    def __init__(self, server: Server, web: WebApp, notice_seconds: float) -> None:
        self._server = server
        self._web = web
        self._notice_seconds = notice_seconds
        self._told: set[Teller] = set()
        self.told = asyncio.Event()

    def on_signals(self) -> None:
        """From now on SIGTERM and SIGINT end it."""
        loop = asyncio.get_running_loop()
        for signum in SIGNALS:
            loop.add_signal_handler(signum, self.tell, "a signal")

    def tell_replaced(self, teller: Teller) -> None:
        """It is to end, and its successor serves already."""
        self._server.linger_seconds = PATIENT_LINGER_SECONDS
        self.tell(teller)

    def tell(self, teller: Teller) -> None:
        """It is to end. From here on /ready says no, and each answer is its connection's last."""
        hurry = teller in self._told
        begun = bool(self._told)
        log.info("told to end by %s%s: /ready says no", teller, " once more" if hurry else "")
        self._told.add(teller)
        self.told.set()
        self._web.ready = False
        self._server.state.leave()
        if hurry or not self._notice_seconds:
            self._drain()
        elif not begun:
            log.info("giving %g s of notice, in which all is served", self._notice_seconds)
            asyncio.get_running_loop().call_later(self._notice_seconds, self._drain)

    def _drain(self) -> None:
        if not self._server.should_exit:
            log.info("draining: %d held answers and %d channels are let go", self._web.held, len(self._web.channels))
        self._web.drain()
        self._server.should_exit = True
