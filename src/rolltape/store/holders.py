"""Who holds which blob, within this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rolltape.clock import Clock
from rolltape.store.blobs import Busy


class Holders:
    """One holder a name. A name that nobody holds or waits for costs nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def only(self, name: str, wait: float) -> AsyncIterator[None]:
        """Be the one holder of `name` while the context lasts. Raises Busy when somebody else still is after `wait`."""
        lock, users = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = (lock, users + 1)
        try:
            if users == 0:
                await lock.acquire()
            elif wait <= 0 or not await self._clock.wait(lock.acquire(), wait):
                raise Busy
            try:
                yield
            finally:
                lock.release()
        finally:
            self._leave(name)

    def _leave(self, name: str) -> None:
        lock, users = self._locks.pop(name)
        if users > 1:
            self._locks[name] = (lock, users - 1)
