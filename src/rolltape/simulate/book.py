"""The simulator's own book: what each device really did, and when, whatever it says and whatever the server says.

It is written where things happen (the microphone goes on, the result is noted in flash), and read at the end by
check.py. Times of acts are true time: see TrueTime.
"""

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, NamedTuple

DRIFT: Final = 50e-6
"""How far a device's timer runs off, at most: 50 seconds in a million, as a common crystal does."""


class Word(NamedTuple):
    """A device's word on how a command ended, as it stands in its flash."""

    status: str
    code: str | None
    result: dict[str, Any] | None


class Act(NamedTuple):
    """A device did what a command says. Milliseconds since the epoch; `allowance_ms`: what its timer may be off by."""

    at_ms: int
    exp_ms: int
    allowance_ms: int

    @property
    def is_late(self) -> bool:
        """Whether it did so at or after the command's expiry, beyond doubt."""
        return self.at_ms - self.allowance_ms >= self.exp_ms


@dataclass(slots=True)
class Entry:
    """One command. `accepted`: the backend heard that it was created; it had asked at monotonic `created`, under `key`.

    `dropped`: the device asked, and there was no go. The server may still call it delivered (a start whose go was lost,
    before a stop came), until it expires.
    """

    id: str
    device: int
    type: str
    accepted: bool = False
    created: float = 0.0
    expires_ms: int = 0
    key: str = ""
    cancelled: bool = False
    dropped: bool = False
    acts: list[Act] = field(default_factory=list)
    acted: float | None = None
    word: Word | None = None
    told: bool = False


class TrueTime:
    """The server's time, from its own answers: never ahead of it, and behind by the fastest answer's trip at most.

    What the server said was true at some moment before the answer was heard; so time counted from the hearing can
    only run behind. An act that is late by this is late beyond doubt.
    """

    def __init__(self) -> None:
        self._offset = -inf
        self.error_ms = inf

    def hear(self, server_ms: int, sent: float, heard: float) -> None:
        """An answer said `server_ms`; `sent` and `heard` are monotonic seconds."""
        self._offset = max(self._offset, server_ms - heard * 1000)
        self.error_ms = min(self.error_ms, (heard - sent) * 1000 + 1)

    def at(self, now: float) -> int:
        """Milliseconds since the epoch at monotonic `now`; 0 before anything was heard."""
        return int(now * 1000 + self._offset) if self._offset > -inf else 0


class Book:
    """All commands of this run, and those of earlier ones that a device still met."""

    def __init__(self) -> None:
        self.true_time = TrueTime()
        self.entries: dict[str, Entry] = {}
        self.counts: Counter[str] = Counter()
        """How many were accepted, and how many words of each status there are."""
        self.unsure: list[str] = []
        """Idempotency keys of creates that got no answer in spite of all tries: they may or may not have happened."""
        self.accepting: list[float] = []
        """How long each create call that was accepted took until its answer, all tries included; seconds."""
        self.refused: dict[str, int] = {}
        """Creates that the server refused, by code."""

    def accepted(
        self, command_id: str, device: int, type_: str, expires_ms: int, begun: float, heard: float, key: str = ""
    ) -> None:
        """The backend heard that a command was created: it had asked at monotonic `begun`, under that key."""
        entry = self._entry(command_id, device, type_)
        self.counts["accepted"] += not entry.accepted
        entry.accepted, entry.created, entry.expires_ms, entry.key = True, begun, expires_ms, key
        self.accepting.append(heard - begun)

    def cancelled(self, command_id: str) -> None:
        """The backend heard that its command was cancelled."""
        self.entries[command_id].cancelled = True

    def refuse(self, code: str) -> None:
        """The server refused to create one."""
        self.refused[code] = self.refused.get(code, 0) + 1

    def act(self, command_id: str, device: int, type_: str, exp_ms: int, now: float, heard_at: float) -> None:
        """The device does it, now. `heard_at`: when it last heard the time."""
        entry = self._entry(command_id, device, type_)
        entry.acts.append(Act(self.true_time.at(now), exp_ms, int((now - heard_at) * 1000 * DRIFT) + 1))
        entry.acted = now

    def word(self, command_id: str, device: int, type_: str, word: Word) -> None:
        """The device has noted in flash how it ended."""
        self._entry(command_id, device, type_).word = word
        self.counts[word.status] += 1

    def dropped(self, command_id: str, device: int, type_: str) -> None:
        """The device dropped it, as there was no go."""
        self._entry(command_id, device, type_).dropped = True

    def told(self, command_id: str) -> None:
        """The device has heard that the server has its word."""
        self.entries[command_id].told = True

    def _entry(self, command_id: str, device: int, type_: str) -> Entry:
        entry = self.entries.get(command_id)
        if entry is None:
            entry = self.entries[command_id] = Entry(command_id, device, type_)
        return entry
