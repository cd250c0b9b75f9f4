"""The parent of several nodes: it holds their port, starts them, replaces those that die, and passes on signals.

SIGTERM and SIGINT drain all and end with 0. SIGHUP restarts them one by one, each successor before its predecessor's
end, so that no request is lost; it also takes new code and certificates.
"""

import asyncio
import logging
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rolltape.clock import SystemClock
from rolltape.config import Settings
from rolltape.nodes.process import NodeProcess
from rolltape.nodes.slot import Slot
from rolltape.nodes.sockets import bind_for_each, url_of

log = logging.getLogger("rolltape.nodes")
SPARE_SECONDS = 15.0
"""What a node may take at its end beside notice and drain: the last writes, those that were cut off."""


def serve_nodes(settings: Settings, env: Mapping[str, str]) -> int:
    """Serves by `settings.workers` nodes until a signal says to end; the exit code: 0, or 1 when it could not start or
    a node had to be killed at the end."""
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s parent %(name)s: %(message)s",
    )
    try:
        sockets = bind_for_each(settings.host, settings.port, settings.workers)
    except OSError as error:
        sys.stderr.write(f"rolltape serve could not start: {error}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="rolltape-nodes-") as folder:
        return asyncio.run(Parent(settings, {**env, **settings.as_env()}, sockets, Path(folder)).run())


class Parent:
    """All slots, and what is asked of them."""

    def __init__(self, settings: Settings, env: Mapping[str, str], sockets: list[socket.socket], folder: Path) -> None:
        clock = SystemClock()
        self._settings = settings
        self._live: set[NodeProcess] = set()
        self._slots = [
            Slot(number, settings.host, sock, folder, env, self._live, clock)
            for number, sock in enumerate(sockets, start=1)
        ]
        scheme = "https" if settings.tls_cert is not None else "http"
        self._url = url_of(scheme, settings.host, sockets[0])
        self._end = asyncio.Event()
        self._restart = asyncio.Event()

    @property
    def _within(self) -> float:
        return self._settings.notice_seconds + self._settings.drain_seconds + SPARE_SECONDS

    async def run(self) -> int:
        """From the start to the end; the exit code."""
        self._take_signals()
        started = await self._started()
        if started:
            sys.stdout.write(f"Rolltape is serving at {self._url}\n")
            with suppress(BrokenPipeError):
                sys.stdout.flush()
            await self._keep_until_the_end()
        ended_well = await self._end_all()
        return 0 if ended_well and (started or self._end.is_set()) else 1

    async def _started(self) -> bool:
        """Starts all at once. False as soon as one can't (it says why itself), or where the end comes first."""
        starts = {asyncio.create_task(slot.start()) for slot in self._slots}
        end = asyncio.create_task(self._end.wait())
        waiting = starts
        while waiting and all(start.result() for start in starts - waiting) and not end.done():
            await asyncio.wait({*waiting, end}, return_when=asyncio.FIRST_COMPLETED)
            waiting = {start for start in starts if not start.done()}
        well = not waiting and all(start.result() for start in starts) and not end.done()
        end.cancel()
        if not well:
            self._tell_all()
            await asyncio.wait(starts)
        return well

    async def _keep_until_the_end(self) -> None:
        keepers = [asyncio.create_task(slot.keep()) for slot in self._slots]
        keepers.append(asyncio.create_task(self._restarts()))
        await self._end.wait()
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)

    async def _restarts(self) -> None:
        while True:
            await self._restart.wait()
            self._restart.clear()
            log.info("restarting all nodes, one by one")
            for slot in self._slots:
                if not await slot.restart(self._within):
                    break

    async def _end_all(self) -> bool:
        """Whether all ended by themselves, and well."""
        self._tell_all()
        nodes = tuple(self._live)
        in_time = await asyncio.gather(*(node.ended(self._within) for node in nodes))
        for node, well in zip(nodes, in_time, strict=True):
            if not well:
                log.error("node %d (pid %d) did not end in time and was killed", node.number, node.pid)
        return all(in_time)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._told_to_end)
        loop.add_signal_handler(signal.SIGHUP, self._restart.set)

    def _told_to_end(self) -> None:
        log.info("told to end by a signal%s: the nodes drain", " once more" if self._end.is_set() else "")
        if self._end.is_set():  # a second time: whoever asks is in a hurry
            for node in self._live:
                node.tell()
        self._end.set()

    def _tell_all(self) -> None:
        for node in self._live:
            if not node.told:
                node.tell()
