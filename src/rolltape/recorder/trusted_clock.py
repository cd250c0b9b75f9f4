"""Trusted time: only what the server said over a connection that can be trusted, carried on by the monotonic timer.

The answer to a call says what time it was at some moment between sending and hearing. Counting from the sending can
only run ahead (by the round trip), so a grant's end is never missed; counting from the hearing can only run behind,
and gives a bound below which the clock never goes. An answer that was held back (a long poll) gives only that bound.
"""

from pathlib import Path

from rolltape.clock import Clock
from rolltape.durable import read_sealed, write_whole
from rolltape.durable import seal as sealed


class TrustedClock:
    """The device's idea of wall time. `now_ms` is None from power-up until the server was heard."""

    def __init__(self, clock: Clock, path: Path) -> None:
        self._clock = clock
        self._path = path
        self._floor = _read_floor(path)
        self._ahead: float | None = None
        self._behind: float | None = None

    @property
    def floor_ms(self) -> int:
        """The greatest authentic time ever heard; it survives a power cut."""
        return self._floor

    def now_ms(self) -> int | None:
        """Milliseconds since the epoch, or None. It never goes below an authentic time, nor below its own course."""
        if self._behind is None:
            return None
        timer = self._clock.monotonic() * 1000
        return int(timer + max(self._behind, self._behind if self._ahead is None else self._ahead))

    def label_ms(self) -> int:
        """The best time to write on a recording: trusted if there is one, else the machine's own."""
        now = self.now_ms()
        return self._clock.now_ms() if now is None else now

    def hear(self, server_ms: int, sent: float | None) -> None:
        """Take an authentic time. `sent` is the monotonic time of the request, None where the answer was held back."""
        self._raise_floor(server_ms)
        timer = self._clock.monotonic() * 1000
        bound = self._floor - timer
        self._behind = bound if self._behind is None else max(self._behind, bound)
        if sent is not None and server_ms >= self._floor:
            self._ahead = server_ms - sent * 1000

    def _raise_floor(self, server_ms: int) -> None:
        if server_ms > self._floor:
            write_whole(self._path, sealed({"floor_ms": server_ms}))
            self._floor = server_ms


def _read_floor(path: Path) -> int:
    try:
        value = read_sealed(path)
        return int(value["floor_ms"]) if value else 0
    except (ValueError, KeyError, TypeError):
        return 0
