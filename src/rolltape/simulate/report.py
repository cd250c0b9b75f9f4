"""What a simulation found, as it is written to the file and shown at the end."""

import resource
from collections.abc import Iterable, Mapping, Sequence
from math import inf

from msgspec import Struct

from rolltape.simulate.check import PROMISES, Broken, endings, failures
from rolltape.simulate.settings import Wishes
from rolltape.simulate.world import World
from rolltape.wire.command import Command

_EXAMPLES = 20


class Commands(Struct, frozen=True):
    """`created`: those that the backend saw accepted; the rest is how they stand on the server.

    `unsure`: creates without an answer. `refused`: by code. `late`: creates that had to wait, as too many were open.
    """

    created: int
    executed: int
    failed: int
    expired: int
    cancelled: int
    open: int
    unsure: int
    refused: dict[str, int]
    failures: dict[str, int]
    late: int


class Delay(Struct, frozen=True):
    """How long something took, in milliseconds; null where it never happened."""

    p50_ms: float | None
    p99_ms: float | None
    worst_ms: float | None


class Report(Struct, frozen=True):
    """`broken`: how often each promise was. `unsettled`: commands of which more could have been heard.

    `accepting`: from the create call to its answer, all tries included; `delay`: from the create call to the deed.
    `true_time_error_ms`: how well the server's clock is known. `figures`: what went on, counted. `cpu_sec` and
    `memory_mb` are the simulator's own, its peak of memory.
    """

    devices: int
    route: str
    seed: int
    loss: float
    seconds: float
    settle_seconds: float
    commands: Commands
    broken: dict[str, int]
    examples: Sequence[Broken]
    unsettled: int
    accepting: Delay
    delay: Delay
    true_time_error_ms: float | None
    figures: dict[str, int]
    cpu_sec: float
    memory_mb: float

    @property
    def is_kept(self) -> bool:
        """Whether every promise was kept."""
        return not any(self.broken.values())


class Lengths(Struct, frozen=True):
    """How long the two parts of a run took, in seconds."""

    run: float
    settle: float


def report_of(
    wishes: Wishes,
    world: World,
    found: Sequence[Broken],
    told: Mapping[str, Command | None],
    *,
    unsettled: int,
    late: int,
    lengths: Lengths,
) -> Report:
    """The report of one run."""
    book, counts = world.book, endings(world.book, told)
    used = resource.getrusage(resource.RUSAGE_SELF)
    error_ms = book.true_time.error_ms
    return Report(
        devices=wishes.devices,
        route=wishes.route,
        seed=wishes.seed,
        loss=wishes.loss,
        seconds=round(lengths.run, 1),
        settle_seconds=round(lengths.settle, 1),
        commands=Commands(
            created=counts.total(),
            executed=counts["executed"],
            failed=counts["failed"],
            expired=counts["expired"],
            cancelled=counts["cancelled"],
            open=counts["pending"] + counts["delivered"],
            unsure=len(book.unsure),
            refused=dict(book.refused),
            failures=dict(failures(told)),
            late=late,
        ),
        broken={promise: sum(one.promise == promise for one in found) for promise in PROMISES},
        examples=found[:_EXAMPLES],
        unsettled=unsettled,
        accepting=delay_of(book.accepting),
        delay=delay_of(e.acted - e.created for e in book.entries.values() if e.accepted and e.acted is not None),
        true_time_error_ms=None if error_ms == inf else round(error_ms, 1),
        figures=dict(world.figures),
        cpu_sec=round(used.ru_utime + used.ru_stime, 1),
        memory_mb=round(used.ru_maxrss / 1024, 1),
    )


def delay_of(seconds: Iterable[float]) -> Delay:
    """The middle of such times, their 99th percentile, and the longest."""
    times = sorted(seconds)
    if not times:
        return Delay(None, None, None)

    def at(part: float) -> float:
        return round(times[min(int(len(times) * part), len(times) - 1)] * 1000, 1)

    return Delay(at(0.5), at(0.99), at(1.0))
