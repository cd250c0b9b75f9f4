"""Create: durable, signed, with its event and an idempotency key; against the hand-written peer, queues and brokers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.lanes import Lane, creates, in_turn
from bench.queues.brokers import JETSTREAM, MOSQUITTO, mosquitto_server, nats_server
from bench.queues.lane import QueueLane
from bench.queues.postgres_queues import PGQUEUER, PROCRASTINATE, install
from bench.rows import row
from bench.seed.store import Size, seed
from bench.servers.ours import ours
from bench.servers.peer import peer, peer_name
from bench.session import Session, fresh_folder

PEER_NOTE = (
    "no rate limits, modes, request ids, expiry before each write or stops that clear starts; "
    "shorter answers and events"
)
OTHER_STORE = f"{PEER_NOTE}; on another database than ours in this row"
TARGETS = {1: "at least 1", 2: "at least 1", 32: "at least 20"}


def compare_create(session: Session) -> None:
    """By 1 to 64 callers, on each store."""
    for store in session.effort.stores:
        with session.guarded(f"create, {store}"), _lanes(session, store) as lanes:
            for callers in session.effort.callers:
                _add_rows(session, store, lanes, callers)


def _add_rows(session: Session, store: str, lanes: list[Lane], callers: int) -> None:
    found = in_turn(session, f"create, {store}", lanes, callers)
    for lane in lanes[1:]:
        if lane.name in found:
            mine, theirs = found[lanes[0].name], found[lane.name]
            aim = TARGETS.get(callers, "") if lane.name == peer_name(store) else ""
            more = {"load_us": mine[-1].load_us, "peer_load_us": theirs[-1].load_us}
            more |= {"cpu_us": mine[-1].cpu_us, "database_us": mine[-1].database_us}
            session.add(
                row("create", callers, lane.name, mine, theirs, store=store, target=aim, note=lane.note, more=more)
            )


@contextmanager
def _lanes(session: Session, store: str) -> Iterator[list[Lane]]:
    """Ours first, then the peers of that store."""
    with ExitStack() as stack:
        make = _on_postgres if store == "postgres" else _on_sqlite
        yield make(session, stack)


def _on_sqlite(session: Session, stack: ExitStack) -> list[Lane]:
    folder = stack.enter_context(fresh_folder())
    devices = session.effort.devices
    lanes: list[Lane] = [creates(stack.enter_context(ours(seed(folder / "ours", Size(devices)))))]
    lanes.append(creates(stack.enter_context(peer(folder / "peer", devices)), PEER_NOTE))
    for queue, server in ((JETSTREAM, nats_server), (MOSQUITTO, mosquitto_server)):
        with session.guarded(queue.name):
            lanes.append(QueueLane(queue, stack.enter_context(server(stack.enter_context(fresh_folder())))))
    return lanes


def _on_postgres(session: Session, stack: ExitStack) -> list[Lane]:
    folder = stack.enter_context(fresh_folder())
    devices = session.effort.devices
    url, own = (stack.enter_context(session.database("postgres")) for _ in range(2))
    lanes: list[Lane] = [creates(stack.enter_context(ours(seed(folder / "ours", Size(devices), url))))]
    lanes.append(creates(stack.enter_context(peer(folder / "peer", devices, own)), PEER_NOTE))
    lanes.append(creates(stack.enter_context(peer(folder / "peer-sqlite", devices)), OTHER_STORE))
    for queue in (PROCRASTINATE, PGQUEUER):
        with session.guarded(queue.name):
            url = stack.enter_context(session.database("postgres"))
            assert url is not None
            install(queue.name, url)
            lanes.append(QueueLane(queue, url))
    return lanes
