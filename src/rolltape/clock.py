"""The only file that reads the time. Everything else is handed a clock, so that a test can hold it.

Wall time is an integer of milliseconds since 1970-01-01T00:00:00Z (`now_ms`); lengths of time are seconds as a float,
measured on a timer that no clock change can touch (`monotonic`).
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """What the code may know of time."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since the epoch. It never goes backwards within a process."""
        ...

    def monotonic(self) -> float:
        """Seconds on a timer that only grows; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Come back after `seconds` (0 or more)."""
        ...

    async def wait(self, awaitable: Awaitable[T], seconds: float) -> T | None:
        """The awaitable's result, or None when `seconds` go by first; then it is cancelled."""
        ...


class SystemClock:
    """The machine's own clock. A wall clock that is set back stands still here until it has caught up."""

    def __init__(self) -> None:
        self._greatest = 0

    def now_ms(self) -> int:
        now = time.time_ns() // 1_000_000
        self._greatest = max(self._greatest, now)
        return self._greatest

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, awaitable: Awaitable[T], seconds: float) -> T | None:
        try:
            async with asyncio.timeout(seconds):  # asyncio.wait_for can lose a cancellation (Python 3.11)
                return await awaitable
        except TimeoutError:
            return None


def machine_ms() -> int:
    """The wall clock exactly as the machine tells it, for `doctor` and for process start; it may go backwards."""
    return time.time_ns() // 1_000_000
