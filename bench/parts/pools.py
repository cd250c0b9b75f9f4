"""How many connections suit the peers: measured, so that each is run with the number that is best for it.

Not part of a whole run: `python -m bench --only pools`. The best go to `bench/peer/database.py` and `bench/queues/`.
"""

from contextlib import ExitStack
from pathlib import Path

from bench.lanes import Lane, creates, in_turn
from bench.queues.lane import QueueLane
from bench.queues.postgres_queues import PGQUEUER, PROCRASTINATE, install
from bench.rows import median
from bench.servers.peer import peer
from bench.session import Session, fresh_folder

SIZES = (1, 2, 4, 8, 16, 32)
CALLERS = (1, 32)


def measure_pools(session: Session) -> None:
    """Prints calls a second by the number of connections. There is nothing to compare, so there are no rows."""
    for store in session.effort.stores:
        with fresh_folder() as folder, session.guarded(f"pools of the peer on {store}"):
            _peers(session, store, folder)
    if "postgres" in session.effort.stores:
        for queue in (PROCRASTINATE, PGQUEUER):
            with session.guarded(f"pools of {queue.name}"), session.database("postgres") as url:
                assert url is not None
                install(queue.name, url)
                for size in SIZES:
                    _tell(session, f"{queue.name} with {size}", QueueLane(queue, url, size))


def _peers(session: Session, store: str, folder: Path) -> None:
    for size in SIZES:
        with ExitStack() as stack:
            url = stack.enter_context(session.database(store))
            target = stack.enter_context(peer(folder / f"peer{size}", session.effort.devices, url, size))
            _tell(session, f"peer on {store} with {size}", creates(target))


def _tell(session: Session, what: str, lane: Lane) -> None:
    for callers in CALLERS:
        found = in_turn(session, what, [lane], callers)
        for figures in found.values():
            p99 = median(figures, "p99_ms")
            print(f"{what} connections, {callers} callers: {median(figures, 'per_s'):,.0f}/s, p99 {p99:.0f} ms")
