"""What all devices of a fleet share."""

from collections import Counter
from dataclasses import dataclass, field

from rolltape.clock import Clock
from rolltape.simulate.book import Book
from rolltape.simulate.dice import Luck


@dataclass(slots=True)
class World:
    """`every`: seconds between heartbeats, None: as the server says. `patience`: how long a device waits for an answer.

    `slowest`: the longest time that an action takes, in seconds. `figures`: what went on, counted by name.
    """

    clock: Clock
    luck: Luck
    every: float | None
    patience: float
    slowest: float
    book: Book = field(default_factory=Book)
    figures: Counter[str] = field(default_factory=Counter)

    @property
    def longest_pause(self) -> float:
        """The longest a device waits after a failure."""
        return min(60.0, self.every or 60.0)
