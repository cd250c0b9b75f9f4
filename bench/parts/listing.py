"""A page of 100 commands out of many, and out of few: what does the size of one device's history cost?"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.lanes import HttpLane, in_turn
from bench.load.run import request
from bench.rows import row
from bench.seed.store import Size, seed
from bench.servers.ours import ours
from bench.servers.target import Target
from bench.session import Session, fresh_folder

FEW = 1_000
CALLERS = 4
QUERIES = {"list newest 100": "limit=100", "list 100 executed": "limit=100&status=executed"}


def compare_list(session: Session) -> None:
    """The newest page, whole and by status, of a device with a large history and of one with a small one."""
    for store in session.effort.stores:
        with session.guarded(f"list, {store}"), _few_and_many(session, store) as (few, many):
            for name, query in QUERIES.items():
                _add_row(session, f"{name} of {session.effort.fill:,}", store, few, many, query)


@contextmanager
def _few_and_many(session: Session, store: str) -> Iterator[tuple[Target, Target]]:
    with ExitStack() as stack:
        folder = stack.enter_context(fresh_folder())
        targets = []
        for name, count in (("few", FEW), ("many", session.effort.fill)):
            url = stack.enter_context(session.database(store))
            targets.append(stack.enter_context(ours(seed(folder / name, Size(1, closed=count), url))))
        yield targets[0], targets[1]


def _add_row(session: Session, bench: str, store: str, few: Target, many: Target, query: str) -> None:
    lanes = _lane(many, query, "rolltape with many"), _lane(few, query, f"rolltape with {FEW:,}")
    found = in_turn(session, f"{bench}, {store}", lanes, CALLERS)
    if len(found) == 2:
        mine, theirs = found[lanes[0].name], found[lanes[1].name]
        note = "ratio: what a page out of many costs over what one out of few costs"
        session.add(
            row(
                bench,
                CALLERS,
                lanes[1].name,
                mine,
                theirs,
                store=store,
                cost=True,
                target="at most 3",
                note=note,
            )
        )


def _lane(target: Target, query: str, name: str) -> HttpLane:
    lane = HttpLane(target, list_request(target, target.devices.id, query), 200)
    lane.name = name
    return lane


def list_request(target: Target, device: str, query: str) -> str:
    """A page of a device's commands."""
    return request(target, "GET", f"/v1/devices/{device}/commands?{query}", target.key)
