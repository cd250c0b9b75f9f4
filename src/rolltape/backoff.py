"""How long to wait before trying again, and how to be woken."""

import asyncio
import secrets
from random import Random

from rolltape.clock import Clock


class Backoff:
    """Waits that double up to a limit, so that a fleet spreads out: each is drawn from the whole's `least` part on."""

    def __init__(self, first_sec: float, most_sec: float, random: Random | None = None, *, least: float = 0.5) -> None:
        self._first = first_sec
        self._most = most_sec
        self._least = least
        self._random = random or secrets.SystemRandom()
        self._tries = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        whole = min(self._most, self._first * 2 ** min(self._tries, 30))
        self._tries += 1
        return float(whole * self._random.uniform(self._least, 1.0))

    def longest(self) -> float:
        """Seconds to wait where there is no use in trying soon."""
        return float(self._most * self._random.uniform(0.5, 1.0))

    def succeeded(self) -> None:
        """Begin again at the first wait."""
        self._tries = 0


class Wake:
    """A bell: `ring` ends the present or the next `wait`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def ring(self) -> None:
        """There is something to do."""
        self._event.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Until rung, or until `seconds` have gone by."""
        if seconds is None:
            await self._event.wait()
        else:
            await self._clock.wait(self._event.wait(), seconds)
        self._event.clear()
