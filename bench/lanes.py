"""Lanes: what is measured side by side, in turn, round by round, so that all have the same weather."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Protocol

from bench.effort import Effort
from bench.load.plan import Plan
from bench.load.run import Figures, heartbeat_request, measure, start_request
from bench.servers.process import cpu_seconds
from bench.servers.target import Target
from bench.session import Session

Measured = dict[str, list[Figures]]
"""Of each lane that gave no wrong answer, by name: its rounds."""


NEVER_SO_MANY = 1 << 24


_LANES = count()


class Lane(Protocol):
    """One thing that is measured. `note` says what it does less or more than ours."""

    @property
    def name(self) -> str: ...
    @property
    def note(self) -> str: ...
    def run(self, callers: int, effort: Effort) -> Figures:
        """One round. RuntimeError when an answer was wrong."""
        ...


class HttpLane:
    """One server with what is sent to it. The numbers of its requests go on from run to run: none comes twice."""

    def __init__(self, target: Target, request: str, expect: int, note: str = "", devices: int = 0) -> None:
        """`devices`: how many of the target's, the first ones; 0: all."""
        self.devices = devices or target.devices.count
        self.name = target.name
        self.note = note
        self._target = target
        self._request = request
        self._expect = expect
        self._next = next(_LANES) << 40  # a store may outlive its lane: another one's numbers must not come again

    def run(self, callers: int, effort: Effort) -> Figures:
        """A closed loop."""
        return self.go(self.plan(callers, effort.warmup, effort.seconds))

    def plan(self, callers: int, warmup: float, seconds: float) -> Plan:
        """What `go` takes, for a closed loop."""
        at = self._target
        return Plan(at.host, at.port, callers, warmup, seconds, self._expect, self._request, self.devices)

    def go(self, plan: Plan) -> Figures:
        """One run, with the processor time that the server took for each answer."""
        before = self._spent()
        plan = replace(plan, first=self._next)
        self._next += NEVER_SO_MANY  # of a run that fails nobody knows how many went out
        figures = measure(self._target, plan)
        self._next = figures.next
        server, database = (
            round((after - at_first) * 1e6 / figures.answered, 1)
            for after, at_first in zip(self._spent(), before, strict=True)
        )
        return replace(figures, cpu_us=server, database_us=database)

    def _spent(self) -> tuple[float, float]:
        return cpu_seconds(self._target.pid), cpu_seconds(self._target.database_pid)


def creates(target: Target, note: str = "") -> HttpLane:
    """Starts, for each device in turn."""
    return HttpLane(target, start_request(target), 201, note)


def heartbeats(target: Target, note: str = "") -> HttpLane:
    """Heartbeats of each device in turn."""
    return HttpLane(target, heartbeat_request(target), 200, note)


def in_turn(session: Session, what: str, lanes: Sequence[Lane], callers: int, rounds: int | None = None) -> Measured:
    """All lanes, one after the other, and again. One that fails is told and left, and the others go on.

    The first lane is ours: where it fails there is nothing to compare, and the answer is empty.
    """
    found: Measured = {lane.name: [] for lane in lanes}
    for number in range(rounds or session.effort.rounds):
        session.say(f"{what}, {callers} callers, round {number + 1}")
        for lane in lanes:
            if lane.name in found:
                try:
                    found[lane.name].append(lane.run(callers, session.effort))
                except (RuntimeError, OSError) as error:
                    del found[lane.name]
                    session.fail(f"{what}, {callers} callers, {lane.name}", error)
    return found if lanes[0].name in found else {}
