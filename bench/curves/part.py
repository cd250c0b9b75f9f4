"""Flat-cost curves: what each call costs with 1,000 to 1,000,000 devices, with 20,000 to 2,000,000 closed commands, and
with many commands waiting.

Each point is measured beside a small store, in turn, in one run: what the machine does besides touches both. The ratio
is of processor time for each call, the server's and PostgreSQL's together.
"""

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.curves.calls import CALLS, Call
from bench.effort import Effort
from bench.lanes import HttpLane, in_turn
from bench.load.run import Figures
from bench.rows import median, row, significant
from bench.seed.store import Seeded, Size, grow, seed
from bench.servers.ours import ours
from bench.servers.target import Target
from bench.session import Session, fresh_folder

PAGE = 20
"""Closed commands of each of the first devices, on every store: so that a page is full on both sides."""
BYTES = {"sqlite": (2_000, 2_500), "postgres": (3_000, 3_500)}
"""Of a device, and of a closed command with its event: what they take on the disk at the most, journals included."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the curve `along`: what is in the store, and in the small one beside it."""

    along: str
    size: Size
    small: Size

    @property
    def name(self) -> str:
        """As it stands in rows."""
        return f"{self.count:,} {self.along}"

    @property
    def count(self) -> int:
        """Where it is on its curve."""
        return _count(self.along, self.size)

    @property
    def beside(self) -> str:
        """The small one's name in rows."""
        return f"rolltape with {_count(self.along, self.small):,}"

    def bytes(self, store: str) -> int:
        """What it takes on the disk, at the most."""
        device, command = BYTES[store]
        return self.size.devices * device + (self.size.closed + self.size.waiting * self.size.queued) * command


def _count(along: str, size: Size) -> int:
    return {"devices": size.devices, "closed commands": size.closed, "waiting": size.waiting * size.queued}[along]


def curves_of(effort: Effort) -> list[list[Point]]:
    """Three curves, their points in order of growth."""
    small = Size(effort.small, closed=PAGE * effort.small, over=effort.small)
    few, many = (replace(small, devices=effort.queued, waiting=n, queued=effort.queued) for n in effort.waiting)
    return [
        [Point("devices", replace(small, devices=count), small) for count in effort.grown],
        [Point("closed commands", replace(small, closed=count), small) for count in effort.closed],
        [Point("waiting", many, few)],
    ]


def compare_curves(session: Session) -> None:
    """All curves on each store."""
    for store in session.effort.stores:
        for points in curves_of(session.effort):
            with session.guarded(f"curve of {points[0].along}, {store}"):
                _curve(session, store, that_fit(session, store, points))


def that_fit(session: Session, store: str, points: list[Point]) -> list[Point]:
    """Those that the disk has room for, twice over; the others are told."""
    place = Path(tempfile.gettempdir())
    free = shutil.disk_usage(place).free
    fitting = [point for point in points if point.bytes(store) * 2 <= free]
    for point in points[len(fitting) :]:
        why = f"needs {point.bytes(store) * 2 / 1e9:.1f} GB free in {place}, which has {free / 1e9:.1f}"
        session.leave_out(f"cost with {point.name}, {store}", f"{why}: name another place with --scratch")
    return fitting


def _curve(session: Session, store: str, points: list[Point]) -> None:
    """One store that grows from point to point; nobody serves from it while it does."""
    with ExitStack() as stack:
        folder = stack.enter_context(fresh_folder())
        url = stack.enter_context(session.database(store))
        seeded: Seeded | None = None
        for point in points:
            session.say(f"making a store with {point.name}, {store}")
            seeded = grow(seeded, point.size) if seeded else seed(folder / "ours", point.size, url)
            with _beside(session, store, seeded, point) as (small, grown):
                for name in session.effort.followed:
                    _measure(session, store, name, point, _lanes(CALLS[name], point, grown, small))


def _lanes(call: Call, point: Point, grown: Target, small: Target) -> tuple[HttpLane, HttpLane]:
    devices = point.size.over if call.with_history else 0
    return call.lane(grown, point.name, devices), call.lane(small, point.beside, devices)


@contextmanager
def _beside(session: Session, store: str, seeded: Seeded, point: Point) -> Iterator[tuple[Target, Target]]:
    """A small store, fresh each time so that it stays small, and the grown one; both served."""
    with ExitStack() as stack:
        folder = stack.enter_context(fresh_folder())
        url = stack.enter_context(session.database(store, server=1))  # with a cache of its own, as it would have
        small = seed(folder / "ours", point.small, url)
        yield stack.enter_context(ours(small)), stack.enter_context(ours(seeded))


def _measure(session: Session, store: str, name: str, point: Point, lanes: tuple[HttpLane, HttpLane]) -> None:
    callers, warmups = CALLS[name].callers, session.effort.curve_warmups
    rounds = warmups + session.effort.curve_rounds
    found = in_turn(session, f"{name} with {point.name}, {store}", lanes, callers, rounds)
    if len(found) == 2:
        grown, small = (found[lane.name][warmups:] for lane in lanes)  # these only brought pages into memory
        costs = [_cost(mine) / _cost(theirs) for mine, theirs in zip(grown, small, strict=True)]
        rates = [theirs.per_s / mine.per_s for mine, theirs in zip(grown, small, strict=True)]
        more = {
            "at": point.count,
            "from": _count(point.along, point.small),
            "cpu_us": median(grown, "cpu_us"),
            "database_us": median(grown, "database_us"),
            "small_cpu_us": median(small, "cpu_us"),
            "small_database_us": median(small, "database_us"),
            "time_ratio": round(statistics.median(rates), 2),
        }
        made = row(f"cost: {name} with {point.name}", callers, lanes[1].name, grown, small, store=store)
        session.add(
            replace(
                made,
                ratio=significant(statistics.median(costs)),
                ratio_low=significant(min(costs)),
                ratio_high=significant(max(costs)),
                target="at most 1.3",
                cost=True,
                note="ratio: processor time for each call over that in the small store",
                more=more,
            )
        )


def _cost(figures: Figures) -> float:
    return figures.cpu_us + figures.database_us
