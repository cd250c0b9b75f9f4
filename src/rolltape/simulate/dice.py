"""Chance that a seed decides, and what goes wrong by it.

Each device has dice of its own, so what befalls it doesn't hang on what the others do. They are splitmix64 (Steele, Lea
and Flood 2014, "Fast splittable pseudorandom number generators"): one number of state, where Python's own generator
would take 2.5 KiB a device.
"""

from enum import Enum, auto
from typing import Final

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15


def _mixed(number: int) -> int:
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _MASK
    return number ^ number >> 31


class Dice:
    """A row of numbers: the same for the same `seed` and `stream`."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, stream: int) -> None:
        self._state = _mixed(_mixed(seed & _MASK) + stream * _GOLDEN & _MASK)

    def roll(self) -> float:
        """0 or more, less than 1."""
        self._state = self._state + _GOLDEN & _MASK
        return _mixed(self._state) / 2**64

    def between(self, low: float, high: float) -> float:
        """Anything from `low` to `high`."""
        return low + (high - low) * self.roll()

    def happens(self, chance: float) -> bool:
        """Whether something happens that has this chance, 0 to 1."""
        return chance > 0 and self.roll() < chance


class Fate(Enum):
    """What becomes of one call between a device and the server."""

    WELL = auto()
    UNSENT = auto()
    """It is lost before the server has any of it."""
    CUT = auto()
    """The connection breaks in the middle of it."""
    UNHEARD = auto()
    """The server acts on it, and the answer is lost."""
    CUT_AFTER = auto()
    """The connection breaks right after it: the server may have acted."""
    TWICE = auto()
    """It comes to the server twice."""


_LOSSES: Final = (Fate.UNSENT, Fate.CUT, Fate.UNHEARD, Fate.CUT_AFTER)


class Luck:
    """What goes wrong, and how often. `loss`: the part of all calls that get no answer, 0 to 0.9.

    `nap`: a device leaves the network for a while; `power_cut`: it loses all that isn't in flash; `crash`: the power
    goes while it acts on a command; `slow`: an action takes its time.
    """

    def __init__(self, loss: float, slow: float = 0.1) -> None:
        self.loss = loss
        self.twice = loss / 2
        self.nap = loss / 4
        self.power_cut = loss / 4
        self.crash = loss / 2
        self.slow = slow

    def heal(self) -> None:
        """Nothing goes wrong from now on, and nothing is slow."""
        self.loss = self.twice = self.nap = self.power_cut = self.crash = self.slow = 0.0

    def of_call(self, dice: Dice) -> Fate:
        """What becomes of the next call."""
        if not self.loss:
            return Fate.WELL
        roll = dice.roll()
        if roll < self.loss:
            return _LOSSES[int(roll / self.loss * len(_LOSSES))]
        return Fate.TWICE if roll < self.loss + self.twice else Fate.WELL
