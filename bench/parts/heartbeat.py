"""Heartbeats: a device's state comes up, nothing waits for it; by 32 callers that go round all devices.

The fleet has been there for a while: each device has been heard once before. For the peer that changes nothing.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from bench.lanes import HttpLane, heartbeats, in_turn
from bench.rows import row
from bench.seed.store import Size, seed
from bench.servers.ours import ours
from bench.servers.peer import peer, peer_name
from bench.session import Session, fresh_folder

NOTE = "commits each heartbeat and looks each token up; ours writes states in batches every 2 s"
OTHER_STORE = f"{NOTE}; on another database than ours in this row"
CALLERS = 32
AIM = "at least 40"
FIRST_SECONDS = 120
"""How long the first round of all devices may take."""


def compare_heartbeat(session: Session) -> None:
    """For each store and each size of fleet."""
    for store in session.effort.stores:
        for fleet in session.effort.fleets:
            what = f"heartbeat, {fleet:,} devices"
            with session.guarded(f"{what}, {store}"), _lanes(session, fleet, store) as (mine, *theirs):
                session.say(f"each of {fleet:,} devices once, {store}")
                mine.go(replace(mine.plan(CALLERS, 0, FIRST_SECONDS), most=fleet))
                _add_rows(session, what, store, [mine, *theirs])


def _add_rows(session: Session, what: str, store: str, lanes: list[HttpLane]) -> None:
    found = in_turn(session, f"{what}, {store}", lanes, CALLERS)
    for lane in lanes[1:]:
        if lane.name in found:
            mine = found[lanes[0].name]
            aim = AIM if lane.name == peer_name(store) else ""
            more = {"cpu_us": mine[-1].cpu_us, "database_us": mine[-1].database_us}
            session.add(
                row(
                    what, CALLERS, lane.name, mine, found[lane.name], store=store, target=aim, note=lane.note, more=more
                )
            )


@contextmanager
def _lanes(session: Session, devices: int, store: str) -> Iterator[list[HttpLane]]:
    """Ours, the peer on the same kind of store, and, where that is PostgreSQL, the peer on SQLite; all fresh."""
    with ExitStack() as stack:
        folder = stack.enter_context(fresh_folder())
        url, own = (stack.enter_context(session.database(store)) for _ in range(2))
        lanes = [heartbeats(stack.enter_context(ours(seed(folder / "ours", Size(devices), url))))]
        lanes.append(heartbeats(stack.enter_context(peer(folder / "peer", devices, own)), NOTE))
        if own is not None:
            lanes.append(heartbeats(stack.enter_context(peer(folder / "peer-sqlite", devices)), OTHER_STORE))
        yield lanes
