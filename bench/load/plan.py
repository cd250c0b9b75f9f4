"""What a load generator is told, in a form that stays small however many devices there are."""

from dataclasses import dataclass

STRIDE = 7_368_787
"""A prime. Devices come in steps of it: neighbours are far apart, and none comes twice before all have come."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, to whom, for how long.

    `request` is one whole request, a %-template: `%(n)…` is the request's own number (the first has `first` + 1) and
    `%(device)…` the number of its device, below `devices`. `per_s`: by an open loop of so many a second; 0: a closed
    one. `most`: at most so many; 0: until the time is over.
    """

    host: str
    port: int
    callers: int
    warmup: float
    seconds: float
    expect: int
    request: str
    devices: int = 1
    first: int = 0
    per_s: float = 0.0
    most: int = 0


class Requests:
    """The requests of a plan, made one after the other."""

    def __init__(self, plan: Plan) -> None:
        self.number = plan.first
        self._devices = plan.devices
        self._template = plan.request.encode()

    def next(self) -> bytes:
        """The next request, whole."""
        self.number += 1
        return self._template % {b"n": self.number, b"device": self.number * STRIDE % self._devices}
