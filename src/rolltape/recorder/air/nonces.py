"""The questions that this device has put, by their nonces: an answer to anything else is no answer."""

import secrets
from dataclasses import dataclass

from rolltape.clock import Clock
from rolltape.wire.answer import NONCE_BYTES, NONCE_SECONDS

MOST = 64
"""So many questions may be open; the oldest is given up for the next."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, and when by the monotonic timer. `wants_go`: whether to act on the command."""

    asked_at: float
    command_id: str | None = None
    recording_id: str | None = None
    wants_go: bool = False
    wants_floor: bool = False


class Nonces:
    """Each nonce is good once, and for a minute. They outlive a connection: an answer may come by the next relay."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[bytes, Question] = {}

    def ask(
        self,
        *,
        command_id: str | None = None,
        recording_id: str | None = None,
        wants_go: bool = False,
        wants_floor: bool = False,
    ) -> bytes:
        """A fresh nonce for that question."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        now = self._clock.monotonic()
        self._open = {old: asked for old, asked in self._open.items() if now - asked.asked_at <= NONCE_SECONDS}
        while len(self._open) >= MOST:
            del self._open[next(iter(self._open))]
        self._open[nonce] = Question(now, command_id, recording_id, wants_go, wants_floor)
        return nonce

    def find(self, nonce: bytes) -> Question | None:
        """What was asked with it; None for one that isn't ours, was answered, or is older than a minute."""
        asked = self._open.get(nonce)
        if asked is None or self._clock.monotonic() - asked.asked_at > NONCE_SECONDS:
            return None
        return asked

    def spend(self, nonce: bytes) -> None:
        """It was answered."""
        self._open.pop(nonce, None)
