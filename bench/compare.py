"""Create and heartbeat: ours and the peer in turn, round by round, so that both have the same weather."""

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import Figures, heartbeat_requests, measure, start_requests
from bench.servers import Target, ours, peer, postgres, prepare_ours

STORES = ("sqlite", "postgres")
PEER = "fastapi+sqlalchemy+pyjwt"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured. Seconds are of one round of one server.

    `devices` share the creates, so that none has 100 open commands. Of the `fleets` that send heartbeats the first is
    small enough that tokens which were looked up are still believed; in the last, as in real life, none is.
    """

    rounds: int
    seconds: float
    warmup: float
    devices: int
    fleets: tuple[int, ...]
    fill: int
    channels: int
    idle: tuple[int, ...]
    stores: tuple[str, ...] = STORES


FULL = Effort(
    rounds=5,
    seconds=3.0,
    warmup=1.0,
    devices=6000,
    fleets=(1_000, 20_000),
    fill=1_000_000,
    channels=2_000,
    idle=(2_000, 10_000),
)
QUICK = Effort(rounds=1, seconds=0.4, warmup=0.2, devices=200, fleets=(50, 200), fill=5_000, channels=40, idle=(40, 60))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. For `list`, `ratio` is the cost of a page out of many over that of one out of few."""

    bench: str
    store: str
    callers: int
    ours_per_s: float
    peer: str
    peer_per_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    p50_ms: float
    p99_ms: float
    peer_p50_ms: float
    peer_p99_ms: float
    rounds: int
    target: str
    more: dict[str, float] = field(default_factory=dict)


def row(
    bench: str,
    callers: int,
    peer_name: str,
    mine: list[Figures],
    theirs: list[Figures],
    *,
    cost: bool = False,
    target: str = "",
    store: str = "sqlite",
) -> Row:
    """Medians over the rounds; the ratio is the median of the rounds' own ratios."""
    ratios = [b.per_s / a.per_s if cost else a.per_s / b.per_s for a, b in zip(mine, theirs, strict=True)]
    return Row(
        bench=bench,
        store=store,
        callers=callers,
        ours_per_s=_median(mine, "per_s"),
        peer=peer_name,
        peer_per_s=_median(theirs, "per_s"),
        ratio=round(statistics.median(ratios), 2),
        ratio_low=round(min(ratios), 2),
        ratio_high=round(max(ratios), 2),
        p50_ms=_median(mine, "p50_ms"),
        p99_ms=_median(mine, "p99_ms"),
        peer_p50_ms=_median(theirs, "p50_ms"),
        peer_p99_ms=_median(theirs, "p99_ms"),
        rounds=len(mine),
        target=target,
    )


def _median(figures: list[Figures], name: str) -> float:
    values: list[float] = [getattr(each, name) for each in figures]
    return round(statistics.median(values), 3)


def in_turn(pair: tuple["Lane", "Lane"], callers: int, effort: Effort) -> tuple[list[Figures], list[Figures]]:
    """Ours, peer, ours, peer … The first of each is preceded by a warm-up that isn't counted."""
    figures: tuple[list[Figures], list[Figures]] = ([], [])
    for _ in range(effort.rounds):
        for lane, kept in zip(pair, figures, strict=True):
            kept.append(lane.run(callers, effort))
    return figures


class Lane:
    """One server with what is sent to it. The numbers of its requests go on from run to run: none comes twice."""

    def __init__(self, target: Target, requests: list[str], expect: int) -> None:
        self._target = target
        self._requests = requests
        self._expect = expect
        self._first = 0

    def run(self, callers: int, effort: Effort) -> Figures:
        """One round. RuntimeError when an answer was wrong."""
        figures = measure(
            self._target,
            self._requests,
            callers=callers,
            warmup=effort.warmup,
            seconds=effort.seconds,
            expect=self._expect,
            first=self._first,
        )
        self._first = figures.next
        return figures


@contextmanager
def both(devices: int, store: str = "sqlite") -> Iterator[tuple[Target, Target]]:
    """Ours on that store and the peer, fresh, with the same number of devices."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rolltape-bench-")))
        url = stack.enter_context(postgres()) if store == "postgres" else None
        given = prepare_ours(folder / "ours", devices, url)
        yield (
            stack.enter_context(ours(folder / "ours", given, url)),
            stack.enter_context(peer(folder / "peer", devices)),
        )


def compare_create(effort: Effort) -> list[Row]:
    """Durable, signed, with its event and an idempotency key, by 1, 8 and 32 callers."""
    return [made for store in effort.stores for made in _create_rows(effort, store)]


def _create_rows(effort: Effort, store: str) -> list[Row]:
    targets = {1: "at least 1", 32: "at least 10"}
    rows = []
    with both(effort.devices, store) as (mine, theirs):
        pair = (Lane(mine, start_requests(mine), 201), Lane(theirs, start_requests(theirs), 201))
        for callers in (1, 8, 32):
            figures = in_turn(pair, callers, effort)
            rows.append(row("create", callers, PEER, *figures, target=targets.get(callers, ""), store=store))
    return rows


def compare_heartbeat(effort: Effort) -> list[Row]:
    """A device's state comes up, nothing waits for it; by 32 callers that go round all devices."""
    return [_heartbeat_row(effort, fleet, store) for store in effort.stores for fleet in effort.fleets]


def _heartbeat_row(effort: Effort, fleet: int, store: str) -> Row:
    with both(fleet, store) as (mine, theirs):
        pair = (Lane(mine, heartbeat_requests(mine), 200), Lane(theirs, heartbeat_requests(theirs), 200))
        figures = in_turn(pair, 32, effort)
        return row(f"heartbeat of {fleet:,} devices", 32, PEER, *figures, target="at least 30", store=store)
