"""The place of one node. One that dies is replaced; in a restart its successor is there first."""

import asyncio
import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rolltape.backoff import Backoff
from rolltape.clock import Clock
from rolltape.nodes.process import REPLACED, NodeProcess, Recipe
from rolltape.nodes.sockets import EACH, bind_one_more

log = logging.getLogger("rolltape.nodes")
HELD_SECONDS: Final = 60.0
"""A node that held so long begins the back-off of its successors again."""
FIRST_WAIT_SECONDS: Final = 1.0
MOST_WAIT_SECONDS: Final = 30.0


class Slot:
    """`live` has the processes of all slots, so that the end reaches each, also one that isn't in its place yet."""

    def __init__(
        self,
        number: int,
        host: str,
        sock: socket.socket,
        folder: Path,
        env: Mapping[str, str],
        live: set[NodeProcess],
        clock: Clock,
    ) -> None:
        self.number = number
        self._host = host
        self._sock = sock
        self._folder = folder
        self._env = env
        self._live = live
        self._clock = clock
        self._backoff = Backoff(FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS)
        self._turn = asyncio.Lock()
        self.node: NodeProcess | None = None

    async def start(self) -> bool:
        """The first node; whether it has come to answer."""
        node = self.node = await self._new()
        return await node.answers()

    async def keep(self) -> None:
        """For ever: waits until the node has ended, and starts another, unless a restart has."""
        while True:
            node, began = self.node, self._clock.monotonic()
            assert node is not None
            await node.ended()
            self._live.discard(node)
            async with self._turn:
                if self.node is node:
                    await self._replace_dead(node, self._clock.monotonic() - began)

    async def _replace_dead(self, node: NodeProcess, held: float) -> None:
        if held >= HELD_SECONDS:
            self._backoff.succeeded()
        wait = self._backoff.next()
        log.error("node %d (pid %d) has ended: %s; the next starts in %.1f s", *_how(node), wait)
        self._set_aside()
        await self._clock.sleep(wait)
        self.node = await self._new()
        if await self.node.answers():
            log.warning("node %d is back (pid %d)", self.number, self.node.pid)

    def _set_aside(self) -> None:
        """New connections go to the others meanwhile. The new socket gets none before its node listens."""
        if EACH:
            sock = bind_one_more(self._host, self._sock)
            self._sock.close()
            self._sock = sock

    async def restart(self, within: float) -> bool:
        """A successor on the same socket, and only then the old node's end, which has `within` seconds.

        False where the successor didn't come to answer: the old one goes on.
        """
        async with self._turn:
            old, new = self.node, await self._new()
            if not await new.answers():
                new.kill()
                await new.ended()
                self._live.discard(new)
                log.error("node %d was not restarted: its successor did not start; the old one goes on", self.number)
                return False
            self.node = new
        if old is not None:
            old.tell(REPLACED)
            if not await old.ended(within):
                log.error("node %d (pid %d) did not end in time and was killed", self.number, old.pid)
            self._live.discard(old)
        log.info("node %d was restarted (pid %d)", self.number, new.pid)
        return True

    async def _new(self) -> NodeProcess:
        node = await NodeProcess.start(Recipe(self.number, self._sock.fileno(), self._folder, self._env))
        self._live.add(node)
        return node


def _how(node: NodeProcess) -> tuple[int, int, str]:
    code = node.code
    told = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return node.number, node.pid, told
