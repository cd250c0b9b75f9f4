"""Whose turn it is: of the own devices in reach, the one with a command first, then the one not visited for longest.

A device that can't be reached waits longer after each failure, and one that sends junk is left alone; so a hundred
devices, some of them broken, all get their turns.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

from rolltape.backoff import Backoff

T = TypeVar("T")
IN_REACH_SEC = 30.0
"""A device not seen for so long is out of reach."""
LEAVE_ALONE_SEC = 300.0
"""For so long a device that sends junk is left alone."""


@dataclass(slots=True)
class _Place(Generic[T]):
    sighting: T
    seen: float
    backoff: Backoff
    visited: float = float("-inf")
    has_more: bool = False
    not_before: float = float("-inf")


class Turns(Generic[T]):
    """The order. `T` is what a radio knows of a device that it has seen. Times are on the monotonic timer.

    A device with nothing new is due every `visit_sec`; failures wait from `first_sec` up to `most_sec`.
    """

    def __init__(self, visit_sec: float, first_sec: float, most_sec: float) -> None:
        self._visit_sec, self._first_sec, self._most_sec = visit_sec, first_sec, most_sec
        self._places: dict[str, _Place[T]] = {}

    def seen(self, device_id: str, sighting: T, now: float) -> None:
        """It advertises."""
        place = self._places.get(device_id)
        if place is None:
            self._places[device_id] = _Place(sighting, now, Backoff(self._first_sec, self._most_sec))
        else:
            place.sighting, place.seen = sighting, now

    def keep(self, device_ids: Collection[str]) -> None:
        """Forget all others."""
        self._places = {id_: place for id_, place in self._places.items() if id_ in device_ids}

    def next(self, now: float, busy: Collection[str], wanted: Callable[[str], bool]) -> tuple[str, T] | None:
        """The next one to visit. `busy`: those connected already. `wanted`: whether something waits for a device."""
        due = [(not wanted(id_), place.visited, id_) for id_, place in self._due(now, busy, wanted)]
        if not due:
            return None
        _, _, device_id = min(due)
        return device_id, self._places[device_id].sighting

    def is_someone_due(self, now: float, busy: Collection[str], wanted: Callable[[str], bool]) -> bool:
        """Whether anybody waits for a turn."""
        return any(True for _ in self._due(now, busy, wanted))

    def in_reach(self, now: float) -> int:
        """How many have been seen of late."""
        return sum(now - place.seen <= IN_REACH_SEC for place in self._places.values())

    def visited(self, device_id: str, now: float, *, has_more: bool = False) -> None:
        """A visit ended well, or at least something came of it. `has_more`: it should go on soon."""
        if place := self._places.get(device_id):
            place.visited = now
            place.has_more = has_more
            place.not_before = now + self._first_sec  # its new address and tag must be seen first
            place.backoff.succeeded()

    def failed(self, device_id: str, now: float) -> None:
        """No connection, or nothing came of it."""
        if place := self._places.get(device_id):
            place.visited = now
            place.not_before = now + place.backoff.next()

    def leave_alone(self, device_id: str, now: float) -> None:
        """It can't be talked to."""
        if place := self._places.get(device_id):
            place.visited = now
            place.not_before = now + LEAVE_ALONE_SEC

    def _due(self, now: float, busy: Collection[str], wanted: Callable[[str], bool]) -> "list[tuple[str, _Place[T]]]":
        return [
            (id_, place)
            for id_, place in self._places.items()
            if id_ not in busy
            and now - place.seen <= IN_REACH_SEC
            and now >= place.not_before
            and (place.has_more or now - place.visited >= self._visit_sec or wanted(id_))
        ]
