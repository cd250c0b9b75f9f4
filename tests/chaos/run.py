"""One run: a fleet works, somebody torments, and at the end, in calm, everything is compared."""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from msgspec import Struct

from rolltape.clock import SystemClock
from rolltape.simulate.device import Device
from rolltape.simulate.fleet import Fleet, run_fleet
from rolltape.simulate.report import Report
from rolltape.simulate.settings import Wishes
from tests.chaos.audit import COMMANDS, EVENTS, LAST_SEQS, WHATS, Breach, CommandRow, EventRow, audit, rows
from tests.chaos.place import Place
from tests.chaos.tormentor import Tormentor

AFTERMATH_SEC = 5.0
_EXAMPLES = 10
_OPEN = "SELECT count(*), max(expires_at) FROM commands WHERE status IN ('pending', 'delivered')"
Watch = Callable[[dict[str, str]], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done. `commands` are created over `seconds`; `once`: as long as it takes to torment in every way.

    `pace`: how long a torment lasts, 1 for its full length; `gap`: the longest calm between two, in seconds.
    `calm`: no torment at all; `only`: no others than these.
    """

    commands: int
    seconds: float
    devices: int
    every: float
    ttl: int
    loss: float
    seed: int
    pace: float = 1.0
    gap: float = 2.0
    once: bool = False
    calm: bool = False
    only: tuple[str, ...] = ()


class Lengths(Struct, frozen=True):
    """How often a torment was done, and how long it was from its beginning until all nodes served again, in seconds."""

    times: int
    median_s: float | None
    worst_s: float | None


class ChaosReport(Struct, frozen=True):
    """`audit`: how often each thing was wrong in the database. `faults`: what went wrong with the torments."""

    seed: int
    machine: str
    seconds: float
    events: int
    simulate: Report
    torments: dict[str, Lengths]
    audit: dict[str, int]
    examples: list[Breach]
    faults: list[str]

    @property
    def is_kept(self) -> bool:
        """Whether all was as it must be."""
        whole = self.simulate.is_kept and not self.simulate.unsettled
        return whole and not any(self.audit.values()) and not self.faults


def run(place: Place, plan: Plan, watch: Watch | None = None, kind: type[Device] = Device) -> ChaosReport:
    """All of it, on a place that runs and a database that nobody has used."""
    begun = time.monotonic()
    tormentor = Tormentor(place, plan.seed, pace=plan.pace, gap=plan.gap, once=plan.once, only=plan.only)
    fleet = Fleet(_wishes(place, plan), SystemClock(), kind)

    def conduct(fleet: Fleet, phase: str) -> None:
        if phase == "running" and not plan.calm and tormentor.has_not_begun:
            tormentor.start()
        if plan.once and tormentor.is_over:
            fleet.stop.set()
        if phase == "settling":
            tormentor.end()
        if watch is not None:
            watch({"phase": phase, "torment": tormentor.doing, **fleet.now()})

    try:
        told = run_fleet(fleet, conduct)
    finally:
        tormentor.end()
        tormentor.join()
    _wait_for_the_last(place)
    events = rows(EventRow, place.ask(EVENTS))
    found = audit(
        fleet.world.book,
        fleet.told,
        rows(CommandRow, place.ask(COMMANDS)),
        events,
        dict(tuple(one) for one in place.ask(LAST_SEQS)),
    )
    return ChaosReport(
        seed=plan.seed,
        machine=f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.platform(terse=True)}",
        seconds=round(time.monotonic() - begun, 1),
        events=len(events),
        simulate=told,
        torments={name: _lengths(times) for name, times in tormentor.lengths.items()},
        audit={what: sum(one.what == what for one in found) for what in WHATS},
        examples=[one for what in WHATS for one in [each for each in found if each.what == what][:_EXAMPLES]],
        faults=tormentor.faults,
    )


def _wishes(place: Place, plan: Plan) -> Wishes:
    return Wishes(
        tuple(node.url for node in place.nodes),
        place.key,
        devices=plan.devices,
        route="mixed",
        commands_per_second=plan.commands / plan.seconds,
        seconds=plan.seconds,
        every=plan.every,
        seed=plan.seed,
        loss=plan.loss,
        ttl=plan.ttl,
    )


def _wait_for_the_last(place: Place) -> None:
    """Until no command is open, or the last one's time is over for long."""
    clock = SystemClock()
    while True:
        ((count, last),) = place.ask(_OPEN)
        if not count or clock.now_ms() > last + AFTERMATH_SEC * 1000:
            return
        time.sleep(0.2)


def _lengths(times: list[float]) -> Lengths:
    if not times:
        return Lengths(0, None, None)
    return Lengths(len(times), round(median(times), 2), round(max(times), 2))
