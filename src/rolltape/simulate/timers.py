"""One heap for all who sleep: a device that has nothing to do is an entry in it, not a task."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Final, Protocol, TypeVar

from rolltape.clock import Clock

NEVER: Final = inf
_GRAIN_SEC: Final = 0.002
"""Those that are due within so much time are woken together."""
_AT_ONCE: Final = 200
"""After so many the network has its turn."""


class Sleeper(Protocol):
    """Who can sleep. `wake_at`: monotonic seconds; only its newest entry counts."""

    wake_at: float


S = TypeVar("S", bound=Sleeper)


class Timers:
    """Wakes each when its time has come: `due(sleeper, now)`."""

    def __init__(self, clock: Clock, due: Callable[[S, float], None]) -> None:
        self._clock = clock
        self._due = due
        self._heap: list[tuple[float, int, Sleeper]] = []
        self._order = count()
        self._armed_for = NEVER
        self._handle: asyncio.TimerHandle | None = None

    def set(self, sleeper: Sleeper, when: float) -> None:
        """Wake it then, and no sooner or later: an earlier word no longer counts."""
        if sleeper.wake_at == when:
            return
        sleeper.wake_at = when
        if when is not NEVER:
            heapq.heappush(self._heap, (when, next(self._order), sleeper))
            self._arm(when)

    def __len__(self) -> int:
        return len(self._heap)

    def stop(self) -> None:
        """Wake nobody any more."""
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self, when: float) -> None:
        if when >= self._armed_for:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._armed_for = when
        delay = max(when - self._clock.monotonic(), _GRAIN_SEC)
        self._handle = asyncio.get_running_loop().call_later(delay, self._fire)

    def _fire(self) -> None:
        self._handle, self._armed_for = None, NEVER
        now = self._clock.monotonic()
        left = _AT_ONCE
        try:
            while self._heap and self._heap[0][0] <= now and left:
                when, _, sleeper = heapq.heappop(self._heap)
                if sleeper.wake_at == when:
                    left -= 1
                    sleeper.wake_at = NEVER
                    self._due(sleeper, now)  # type: ignore[arg-type]  # who is in the heap is what it was made for
        finally:
            if self._heap:
                self._arm(self._heap[0][0])
