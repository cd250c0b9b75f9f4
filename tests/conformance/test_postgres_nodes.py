"""Two nodes on one PostgreSQL: neither has in its memory what must be right on the other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rolltape.codes import Code, Problem
from rolltape.store.inputs import FIRST, Created, NewKey, Position, StateDelta
from rolltape.store.postgres.database import open_pg
from rolltape.store.postgres.store import PgStore
from rolltape.testing.store_suite import House, Ready
from rolltape.testing.store_suite.house import EXECUTED, FAILED, NOW, refused
from rolltape.wire.command import CommandType
from tests.conformance.test_sqlite_store import PROJECTS, tenants
from tests.postgres import server, url_of

TOP = Position(FIRST, 1000)
Scenario = Callable[[House, House], Awaitable[None]]


@asynccontextmanager
async def _two(folder: Path) -> AsyncIterator[tuple[House, House]]:
    url = await url_of(folder)
    async with open_pg(url) as db:
        mine, other = await tenants(db)
    stores = [await PgStore.open(url, size=4) for _ in range(2)]
    try:
        one, two = (House(Ready(store, mine, other, PROJECTS[0], [])) for store in stores)
        yield one, two
    finally:
        await asyncio.gather(*(store.close() for store in stores))


def on_two_nodes(scenario: Scenario) -> Callable[[Path], None]:
    """Makes a scenario a test."""

    def test(tmp_path: Path) -> None:
        async def run() -> None:
            async with _two(tmp_path) as (one, two):
                await scenario(one, two)

        asyncio.run(run())

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


def pg(house: House) -> PgStore:
    """Its store."""
    assert isinstance(house.store, PgStore)
    return house.store


def _is_sure_that_nothing_is_due(house: House) -> None:
    """The node has looked at what is due, and trusts that for longer than any does."""
    outlook = pg(house)._pg.outlook
    outlook._looked_at, outlook._clear_until = NOW, NOW + 10_000


@on_two_nodes
async def test_two_at_once_with_one_key_make_one_command_whichever_node_they_ask(one: House, two: House) -> None:
    device = await one.device()
    made = await asyncio.gather(*(house.created(device, key="k") for _ in range(20) for house in (one, two)))
    assert sorted(each.replayed for each in made) == [False] + [True] * 39
    assert len({each.command.id for each in made}) == 1


@on_two_nodes
async def test_each_command_has_its_own_seq_and_the_order_of_its_numbers(one: House, two: House) -> None:
    devices = [await one.device() for _ in range(3)]
    rows = await asyncio.gather(
        *(house.create(device) for _ in range(15) for device in devices for house in (one, two))
    )
    for device in devices:
        mine = sorted((row for row in rows if row.device_id == device), key=lambda row: row.seq)
        assert [row.seq for row in mine] == list(range(1, 31))
        assert [row.n for row in mine] == sorted(row.n for row in mine)


@on_two_nodes
async def test_each_stop_has_its_own_seq_and_leaves_none_open_before_it(one: House, two: House) -> None:
    devices = [await one.device() for _ in range(3)]
    rows = await asyncio.gather(
        *(house.create(device, "stop_recording") for _ in range(5) for device in devices for house in (one, two))
    )
    for device in devices:
        assert sorted(row.seq for row in rows if row.device_id == device) == list(range(1, 11))
        assert len(await one.store.list_commands(one.tenant_n, device, ("pending",), None, TOP, NOW)) == 1


@on_two_nodes
async def test_starts_and_stops_at_once_have_one_order(one: House, two: House) -> None:
    device = await one.device()
    kinds: list[CommandType] = ["start_recording", "start_recording", "stop_recording"]
    rows = await asyncio.gather(
        *(house.create(device, kind) for _ in range(10) for kind in kinds for house in (one, two))
    )
    assert sorted(row.seq for row in rows) == list(range(1, 61))


@on_two_nodes
async def test_a_queue_is_full_on_both(one: House, two: House) -> None:
    device = await one.device()
    answers = await asyncio.gather(
        *(house.created(device) for _ in range(60) for house in (one, two)), return_exceptions=True
    )
    assert sum(isinstance(answer, Created) for answer in answers) == 100
    assert {answer.code for answer in answers if isinstance(answer, Problem)} == {Code.COMMAND_QUEUE_FULL}


@on_two_nodes
async def test_a_write_that_the_database_refuses_spoils_no_other_of_its_round(one: House, two: House) -> None:
    device, other = await one.device(), await one.device()
    asked = (one.create(device), one.create(other, key="\0"), one.create(device))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [answer.code for answer in answers if isinstance(answer, Problem)] == [Code.UNAVAILABLE]
    rows = await two.store.list_commands(two.tenant_n, device, (), None, TOP, NOW)
    assert [row.seq for row in rows] == [2, 1]
    assert (await one.create(other)).seq == 1


@on_two_nodes
async def test_each_command_expires_once_whoever_notices(one: House, two: House) -> None:
    rows = [await one.create(await one.device(), ttl=1) for _ in range(30)]
    late = NOW + 1000
    expired = await asyncio.gather(*(house.store.expire_due(late) for _ in range(3) for house in (one, two)))
    assert sorted(id_ for ids in expired for id_ in ids) == sorted(row.id for row in rows)
    for row in rows:
        assert await two.history(row, late) == [("created", None), ("expired", "pending")]


@on_two_nodes
async def test_what_the_other_node_made_is_never_shown_open_past_its_time(one: House, two: House) -> None:
    device = await one.device()
    # It has looked at what is due, and trusts that for a while.
    await two.store.list_commands(two.tenant_n, device, (), None, TOP, NOW)
    row = await one.create(device, ttl=1)
    assert (await two.get(row, NOW + 999)).status == "pending"
    assert (await two.get(row, NOW + 1000)).status == "expired"


@on_two_nodes
async def test_no_go_is_given_past_the_time_even_where_the_node_trusts_its_last_look(one: House, two: House) -> None:
    device = await one.device()
    row = await one.create(device, ttl=1)
    _is_sure_that_nothing_is_due(two)
    await refused(Code.COMMAND_NO_GO, two.acknowledge(row, now=NOW + 1000))
    assert (await one.get(row, NOW + 1000)).status == "expired"
    again = await one.create(device, ttl=1, now=NOW + 2000)
    _is_sure_that_nothing_is_due(two)
    assert await two.store.offer(device, 1, "poll", None, 4, NOW + 3000) == ([], False)
    assert (await one.get(again, NOW + 3000)).status == "expired"


@on_two_nodes
async def test_one_word_lands_and_the_other_node_hears_of_the_conflict(one: House, two: House) -> None:
    for _ in range(5):
        row = await one.create(await one.device())
        told = await asyncio.gather(one.report(row, EXECUTED), two.report(row, FAILED))
        assert sorted(each.outcome for each in told) == ["accepted", "conflict"]
        assert len(await one.history(row)) == 2


@on_two_nodes
async def test_an_acknowledgement_and_a_cancellation_at_once_have_one_winner(one: House, two: House) -> None:
    for _ in range(5):
        row = await one.create(await one.device())
        answers = await asyncio.gather(one.acknowledge(row), two.cancel(row), return_exceptions=True)
        assert sum(isinstance(answer, Problem) for answer in answers) == 1
        assert len(await one.history(row)) == 2


@on_two_nodes
async def test_a_first_offer_on_a_route_is_one_event_on_whichever_node(one: House, two: House) -> None:
    device = await one.device()
    row = await one.create(device)
    await asyncio.gather(*(h.store.offer(device, 1, "heartbeat", None, 4, NOW) for _ in range(3) for h in (one, two)))
    assert (await one.get(row)).offers == 6
    assert await one.history(row) == [("created", None), ("offered", None)]


@on_two_nodes
async def test_a_device_is_bound_once_and_the_other_node_is_told_so(one: House, two: House) -> None:
    device, users = await one.unbound(), [await one.user(), await two.user()]
    answers = await asyncio.gather(
        *(house.bind(device, user) for house, user in zip((one, two), users, strict=True)), return_exceptions=True
    )
    assert [a.code for a in answers if isinstance(a, Problem)] == [Code.DEVICE_ALREADY_BOUND]
    assert await one.store.is_bound(device, 1)
    assert await two.store.is_bound(device, 1)


@on_two_nodes
async def test_no_device_stays_bound_to_an_end_user_who_is_deleted_meanwhile(one: House, two: House) -> None:
    for _ in range(5):
        device, user = await one.unbound(), await one.user()
        bound, _ = await asyncio.gather(
            one.bind(device, user), two.store.delete_end_user(two.tenant_n, user, NOW), return_exceptions=True
        )
        if not isinstance(bound, Problem):
            assert (await two.store.get_device(two.tenant_n, device)).end_user_id is None


@on_two_nodes
async def test_going_online_and_offline_is_one_event_on_whichever_node(one: House, two: House) -> None:
    device = await one.device()
    for house in (one, two):
        house.store.note_state(device, StateDelta(one.tenant_n, NOW + 1000, seen_at=NOW))
    await asyncio.gather(one.store.flush_states(), two.store.flush_states())
    await asyncio.gather(*(house.store.mark_offline(NOW + 2000, 10) for house in (one, two)))
    told = await pg(one)._pg.read(_types_of, device)
    assert [each for each in told if "line" in each] == ["device.online", "device.offline"]


@on_two_nodes
async def test_a_device_that_both_hear_is_told_of_once_and_looked_at_later_by_either(one: House, two: House) -> None:
    device = await one.device()
    for n in range(6):
        house = (one, two)[n % 2]
        house.store.note_state(device, StateDelta(one.tenant_n, NOW + 1000 * n, seen_at=NOW))
        await house.store.flush_states()
        told = await asyncio.gather(*(h.store.mark_offline(NOW + 1000 * n - 1, 10) for h in (one, two)))
        assert told == [0, 0]
    await asyncio.gather(*(house.store.mark_offline(NOW + 5000, 10) for house in (one, two)))
    told_of = await pg(one)._pg.read(_types_of, device)
    assert [each for each in told_of if "line" in each] == ["device.online", "device.offline"]


@on_two_nodes
async def test_what_an_older_node_brought_online_is_looked_at_when_that_says(one: House, two: House) -> None:
    """It knows nothing of when a device is to be looked at: then that has long come."""
    devices = [await one.device() for _ in range(3)]
    async with pg(one)._pg.connection() as db:
        await db.run("UPDATE device_states SET online = 1, online_until = ?", (NOW + 1000,))
    assert await two.store.mark_offline(NOW + 999, 2) == 0
    assert await two.store.mark_offline(NOW + 1000, 10) == len(devices)


@on_two_nodes
async def test_heartbeats_of_devices_that_are_online_touch_no_index(one: House, two: House) -> None:
    devices = [await one.device() for _ in range(20)]
    before = (0, 0)
    for n in range(10):
        for device in devices:
            until, at = NOW + 180_000 + 1000 * n, NOW + 1000 * n
            said = StateDelta(one.tenant_n, until, battery_percent=80 - n, last_heartbeat_at=at, seen_at=at)
            said.rec_said, said.rec_as_of, said.rec_evidence, said.next_contact_at = True, at, "device", at + 60_000
            one.store.note_state(device, said)
        await one.store.flush_states()
        if n == 0:
            before = await _rewritten(one)  # coming online is told in the index
    every, on_their_page = (now - then for now, then in zip(await _rewritten(one), before, strict=True))
    assert every == 9 * len(devices), "one new version of a row for a heartbeat"
    assert on_their_page == every


async def _rewritten(house: House) -> tuple[int, int]:
    """How many rows of states were written anew, and how many of them beside the old one, with no index touched."""

    async def counts(db: Any) -> tuple[int, int]:
        every, on_their_page = await db.one(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'device_states'::regclass"
        )
        return every, on_their_page

    at = pg(house)._pg
    sessions = [await at.pool.acquire() for _ in range(at.pool.get_size())]  # each counts for itself, and tells later
    for conn in sessions:
        await conn.execute("SELECT pg_stat_force_next_flush()")
        await conn.execute("SELECT 1")
    for conn in sessions:
        await at.pool.release(conn)
    return await at.read(counts)


@on_two_nodes
async def test_what_a_device_said_last_stands_whichever_node_writes_last(one: House, two: House) -> None:
    device = await one.device()
    early = StateDelta(one.tenant_n, NOW + 1000, battery_percent=80, flags=1, last_heartbeat_at=NOW, seen_at=NOW)
    late = StateDelta(one.tenant_n, NOW + 1005, battery_percent=20, last_heartbeat_at=NOW + 5, seen_at=NOW + 5)
    one.store.note_state(device, early)
    two.store.note_state(device, late)
    await two.store.flush_states()
    await one.store.flush_states()
    row = await two.store.get_device(two.tenant_n, device)
    assert (row.battery_percent, row.last_heartbeat_at, row.online_until) == (20, NOW + 5, NOW + 1005)
    assert row.flags == 1, "what it said earlier and not again stands too"
    # A clock that was far ahead and was set right doesn't shut out all that comes after it.
    one.store.note_state(device, StateDelta(one.tenant_n, 2, battery_percent=7, last_heartbeat_at=1, seen_at=1))
    await one.store.flush_states()
    assert (await two.store.get_device(two.tenant_n, device)).battery_percent == 7


@on_two_nodes
async def test_a_key_that_one_node_made_and_revoked_is_known_on_the_other(one: House, two: House) -> None:
    hash_ = bytes(32)
    key = await one.store.insert_key(NewKey("key_a", one.tenant_n, hash_, None, "[]"), NOW)
    assert await two.store.key_by_hash(hash_) == key
    await one.store.revoke_key(one.tenant_n, "key_a", NOW)
    found = await two.store.key_by_hash(hash_)
    assert found is not None
    assert found.revoked_at == NOW


@on_two_nodes
async def test_a_position_leaves_no_event_behind_that_is_still_to_come(one: House, two: House) -> None:
    """Events are numbered before they are committed: whoever reads up to a position must not miss one below it."""
    device, other = await one.device(), await one.device()
    before = await one.store.relay_position(NOW)
    async with pg(one)._pg.connection() as db:
        transaction = db.conn.transaction()
        await transaction.start()
        await db.hold([device])
        await db.run("INSERT INTO events (id, tenant_n, type, created_at, data, device_id) VALUES ('evt_late', 1, "
                     "'command.created', 1, '{}', ?)", (device,))  # fmt: skip
        await two.create(other)  # has a greater number, and is there
        early = await two.store.relay_position(NOW)
        assert early <= before
        await transaction.commit()
    late = await two.store.relay_position(NOW)
    assert await two.store.relay_news([device, other], early, late) == {device, other}


@on_two_nodes
async def test_deadlocks_between_nodes_end_in_another_try(one: House, two: House) -> None:
    """Many devices at once, in any order, by rounds, by operations and by batches of states."""
    devices = [await one.device() for _ in range(12)]

    async def busy(house: House, order: list[str]) -> None:
        work: list[Awaitable[Any]] = []
        for device in order:
            house.store.note_state(device, StateDelta(one.tenant_n, NOW + 1000, battery_percent=5, seen_at=NOW))
            work += [house.create(device), house.create(device, "stop_recording"), house.store.flush_states()]
            work += [house.store.raise_seq_floor(device), house.store.offer(device, 1, "poll", None, 4, NOW)]
        await asyncio.gather(*work)

    await asyncio.gather(busy(one, devices), busy(two, devices[::-1]), busy(two, devices[6:] + devices[:6]))
    for device in devices:
        rows = await one.store.list_commands(one.tenant_n, device, (), None, TOP, NOW)
        assert len({row.seq for row in rows}) == len(rows) == 6


async def _types_of(db: Any, device_id: str) -> list[str]:
    found = await db.all("SELECT type FROM events WHERE device_id = ? ORDER BY n", (device_id,))
    return [row[0] for row in found]


CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = 'rolltape' AND pid <> pg_backend_pid()"
)


@on_two_nodes
async def test_connections_that_are_cut_lose_no_command_and_make_none_twice(one: House, two: House) -> None:
    devices = [await one.device() for _ in range(10)]
    wanted = [(device, f"key {n}") for n in range(8) for device in devices]
    made: dict[tuple[str, str], str] = {}

    async def create(house: House, device: str, key: str) -> None:
        for _ in range(20):
            try:
                made[device, key] = (await house.created(device, key=key)).command.id
                return
            except Problem as problem:
                if problem.code != Code.UNAVAILABLE:
                    raise

    async def cut() -> None:
        for _ in range(8):
            await server().run(CUT)
            await asyncio.sleep(0.01)

    await asyncio.gather(cut(), *(create((one, two)[n % 2], *each) for n, each in enumerate(wanted)))
    assert len(made) == len(wanted)
    for device in devices:
        rows = await one.store.list_commands(one.tenant_n, device, (), None, TOP, NOW)
        assert {row.id for row in rows} == {id_ for (owner, _), id_ in made.items() if owner == device}
        assert [row.seq for row in rows] == list(range(8, 0, -1))
