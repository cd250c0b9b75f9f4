"""Open loops: creates at half of the top rate, and a whole fleet that sends its heartbeats on time."""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from bench.lanes import HttpLane, creates, heartbeats
from bench.load.run import Figures
from bench.rows import Row, median
from bench.seed.store import Size, seed
from bench.servers.ours import ours
from bench.servers.target import Target
from bench.session import Session, fresh_folder

TOP_CALLERS = 64
LINES = 256
"""Connections that an open loop may use: more than are ever busy while the server keeps up."""
HEARTBEAT_SECONDS = 30


def compare_steady(session: Session) -> None:
    """Both, on each store."""
    for store in session.effort.stores:
        with session.guarded(f"create at half of the top rate, {store}"):
            session.add(_creates(session, store))
        with session.guarded(f"a fleet on time, {store}"):
            session.add(_fleet(session, store))


@contextmanager
def _fresh(session: Session, devices: int, store: str) -> Iterator[Target]:
    with ExitStack() as stack:
        folder = stack.enter_context(fresh_folder())
        url = stack.enter_context(session.database(store))
        yield stack.enter_context(ours(seed(folder / "ours", Size(devices), url)))


def _open(lane: HttpLane, per_s: float, session: Session) -> Figures:
    effort = session.effort
    return lane.go(replace(lane.plan(LINES, effort.warmup, effort.steady_seconds), per_s=per_s))


def _creates(session: Session, store: str) -> Row:
    effort = session.effort
    with _fresh(session, effort.devices, store) as target:
        lane = creates(target)
        tops = [lane.run(TOP_CALLERS, effort) for _ in range(min(3, effort.rounds))]
        top = statistics.median(each.per_s for each in tops)
        session.say(f"create at {top / 2:,.0f}/s, half of {top:,.0f}/s, {store}")
        rounds = [_open(lane, top / 2, session) for _ in range(min(3, effort.rounds))]
    return _row("create at half of the top rate", store, rounds, "its top rate", top, "p99 at most 50", {})


def _fleet(session: Session, store: str) -> Row:
    devices = session.effort.steady_devices
    with _fresh(session, devices, store) as target:
        lane = heartbeats(target)
        session.say(f"each of {devices:,} devices once, {store}")
        lane.go(replace(lane.plan(TOP_CALLERS, 0, 120), most=devices))  # a fleet that has been there for a while
        session.say(f"{devices:,} devices every {HEARTBEAT_SECONDS} s, {store}")
        found = _open(lane, devices / HEARTBEAT_SECONDS, session)
    server, database = (each * found.per_s / 1e6 for each in (found.cpu_us, found.database_us))
    more = {"server_share": round(server, 3), "database_share": round(database, 3)}
    whole = round(1e6 / found.cpu_us, 1)
    name = f"heartbeat, {devices:,} devices every {HEARTBEAT_SECONDS} s"
    return _row(name, store, [found], "one whole core", whole, "at most 0.5", more)


def _row(
    bench: str, store: str, rounds: list[Figures], peer: str, peer_per_s: float, target: str, more: dict[str, float]
) -> Row:
    ratios = [each.per_s / peer_per_s for each in rounds]
    more |= {"late_ms": max(each.late_ms for each in rounds), "worst_p99_ms": max(each.p99_ms for each in rounds)}
    return Row(
        bench=bench,
        store=store,
        callers=LINES,
        ours_per_s=median(rounds, "per_s"),
        peer=peer,
        peer_per_s=round(peer_per_s, 1),
        ratio=round(statistics.median(ratios), 3),
        ratio_low=round(min(ratios), 3),
        ratio_high=round(max(ratios), 3),
        p50_ms=median(rounds, "p50_ms"),
        p99_ms=median(rounds, "p99_ms"),
        peer_p50_ms=0.0,
        peer_p99_ms=0.0,
        rounds=len(rounds),
        target=target,
        cost=True,
        note="an open loop; ratio: the share of the peer's rate",
        more=more | {"cpu_us": median(rounds, "cpu_us"), "database_us": median(rounds, "database_us")},
    )
