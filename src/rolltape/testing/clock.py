"""A clock that stands still until a test moves it."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

NOON_MS = 1_798_804_800_000
"""2027-01-01T12:00:00Z: where a manual clock begins, a whole second."""


class ManualClock:
    """Wall and monotonic time that only `advance` and `set_wall` move; what waits for a time that has come goes on."""

    def __init__(self, now_ms: int = NOON_MS) -> None:
        self._wall = now_ms
        self._elapsed = 0.0
        self._moved = asyncio.Event()
        self.sleepers = 0
        """How many wait for a time at this moment: a test that lets time go by may want them there first."""

    def now_ms(self) -> int:
        return self._wall

    def monotonic(self) -> float:
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Lets time go by: both wall and monotonic."""
        self._wall += round(seconds * 1000)
        self._elapsed += seconds
        self._wake()

    def step_wall(self, seconds: float) -> None:
        """Sets the wall clock forward or back, as NTP may; no time goes by."""
        self._wall += round(seconds * 1000)
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def sleep(self, seconds: float) -> None:
        until = self._elapsed + seconds
        self.sleepers += 1
        try:
            while self._elapsed < until:
                await self._moved.wait()
        finally:
            self.sleepers -= 1

    async def wait(self, awaitable: Awaitable[T], seconds: float) -> T | None:
        wanted = asyncio.ensure_future(awaitable)
        timer = asyncio.ensure_future(self.sleep(seconds))
        try:
            await asyncio.wait({wanted, timer}, return_when=asyncio.FIRST_COMPLETED)
            return wanted.result() if wanted.done() else None
        finally:  # also where the waiting itself is cancelled
            timer.cancel()
            wanted.cancel()
