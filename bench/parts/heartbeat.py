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
from bench.servers.peer import peer
from bench.session import Session, fresh_folder

NOTE = "commits each heartbeat and looks each token up; ours writes states in batches every 2 s"
CALLERS = 32
FIRST_SECONDS = 120
"""How long the first round of all devices may take."""


def compare_heartbeat(session: Session) -> None:
    """For each store and each size of fleet."""
    for store in session.effort.stores:
        for fleet in session.effort.fleets:
            what = f"heartbeat, {fleet:,} devices"
            with session.guarded(f"{what}, {store}"), both(session, fleet, store) as (mine, theirs):
                session.say(f"each of {fleet:,} devices once, {store}")
                mine.go(replace(mine.plan(CALLERS, 0, FIRST_SECONDS), most=fleet))
                found = in_turn(session, f"{what}, {store}", (mine, theirs), CALLERS)
                if len(found) == 2:
                    figures = found[mine.name], found[theirs.name]
                    more = {"cpu_us": figures[0][-1].cpu_us, "database_us": figures[0][-1].database_us}
                    session.add(
                        row(
                            what,
                            CALLERS,
                            theirs.name,
                            *figures,
                            store=store,
                            target="at least 40",
                            note=NOTE,
                            more=more,
                        )
                    )


@contextmanager
def both(session: Session, devices: int, store: str) -> Iterator[tuple[HttpLane, HttpLane]]:
    """Ours and the peer, fresh, on the same kind of store, with the same number of devices."""
    with ExitStack() as stack:
        folder = stack.enter_context(fresh_folder())
        url, own = (stack.enter_context(session.database(store)) for _ in range(2))
        mine = stack.enter_context(ours(seed(folder / "ours", Size(devices), url)))
        theirs = stack.enter_context(peer(folder / "peer", devices, own))
        yield heartbeats(mine), heartbeats(theirs, NOTE)
