"""What has aged goes, and nothing else: to the millisecond, a little at a time. See RetentionStore."""

from rolltape.codes import Code
from rolltape.store.inputs import Position
from rolltape.store.relays import NewClaim
from rolltape.testing.store_suite.house import DAY_MS, NOW, House, Promises, on_a_store, refused
from rolltape.testing.store_suite.recordings import by_device
from rolltape.testing.store_suite.relays import TOKEN, bound, token

DUE = NOW + 5000
LATE = NOW + 60 * DAY_MS
MANY = 100


class RetentionPromises(Promises):
    """Each command here lives for five seconds unless it says otherwise."""

    @on_a_store
    async def test_an_expired_command_goes_with_its_history_when_its_time_is_so_long_over(self, at: House) -> None:
        row, other = await at.create(await at.device(), ttl=5), await at.create(await at.device(), ttl=6)
        await at.store.expire_due(DUE + 1000)
        assert await at.store.age_out_commands(DUE - 1, MANY) == 0
        assert await at.history(row, LATE) == [("created", None), ("expired", "pending")]
        assert await at.store.age_out_commands(DUE, MANY) == 1
        await refused(Code.NOT_FOUND, at.get(row, LATE))
        await refused(Code.NOT_FOUND, at.history(row, LATE))
        assert await at.history(other, LATE) == [("created", None), ("expired", "pending")]

    @on_a_store
    async def test_what_was_closed_early_stays_until_no_grant_of_it_can_start_anything(self, at: House) -> None:
        device = await at.device()
        cancelled, executed = await at.create(device, ttl=5), await at.create(device, ttl=5)
        await at.cancel(cancelled)
        await at.report(executed)
        assert await at.store.age_out_commands(DUE - 1, MANY) == 0
        assert await at.store.age_out_commands(DUE, MANY) == 2

    @on_a_store
    async def test_a_report_that_came_late_counts_anew(self, at: House) -> None:
        row = await at.create(await at.device(), ttl=5)
        await at.report(row, now=DUE + DAY_MS)
        assert await at.store.age_out_commands(DUE + DAY_MS - 1, MANY) == 0
        assert await at.store.age_out_commands(DUE + DAY_MS, MANY) == 1

    @on_a_store
    async def test_an_open_command_never_goes(self, at: House) -> None:
        device = await at.device()
        pending, delivered = await at.create(device, ttl=5), await at.create(device, ttl=5)
        await at.acknowledge(delivered)
        assert await at.store.age_out_commands(LATE, MANY) == 0  # not even where nobody has expired it yet
        assert [(await at.get(row)).status for row in (pending, delivered)] == ["pending", "delivered"]
        assert (await at.store.device_counts(at.tenant_n, NOW))[-1] == 2

    @on_a_store
    async def test_they_go_in_batches_the_oldest_first(self, at: House) -> None:
        device = await at.device()
        rows = [await at.create(device, ttl=ttl) for ttl in (9, 7, 8)]
        await at.store.expire_due(NOW + 10_000)
        assert await at.store.age_out_commands(LATE, 2) == 2
        left = await at.store.list_commands(at.tenant_n, device, (), None, Position(2**62, MANY), LATE)
        assert [row.id for row in left] == [rows[0].id]
        assert [await at.store.age_out_commands(LATE, 2) for _ in range(2)] == [1, 0]

    @on_a_store
    async def test_no_number_comes_twice_when_all_before_has_gone(self, at: House) -> None:
        device, user = await bound(at)
        await at.store.insert_relay_token(token(at, user, expires_at=LATE + DAY_MS), NOW)
        row = await at.create(device, "stop_recording", ttl=5, key="k")
        await at.cancel(row)
        position = await at.store.relay_position(NOW)
        assert await at.store.age_out_commands(LATE, MANY) == 1
        assert await at.store.age_out_events(LATE, MANY) == 2
        assert await at.store.relay_position(LATE) == position > 0, (
            "a relay's cursor would lie ahead of what is to come"
        )
        start = await at.create(device, now=LATE, key="k")
        assert (start.seq, start.generation) == (row.seq + 1, row.generation)
        assert start.n > row.n
        assert await at.store.relay_news([device], position, await at.store.relay_position(LATE)) == {device}
        before = start.seq
        assert await at.store.raise_seq_floor(device) == before + 1

    @on_a_store
    async def test_a_page_goes_on_where_it_was_while_commands_go(self, at: House) -> None:
        device = await at.device()
        rows = [await at.create(device, ttl=ttl) for ttl in (5, 6, 7, 60, 60)]
        await at.store.expire_due(NOW + 10_000)
        page = await at.store.list_commands(at.tenant_n, device, (), None, Position(2**62, 2), NOW + 10_000)
        assert [row.id for row in page] == [rows[4].id, rows[3].id]
        await at.store.age_out_commands(NOW + 6000, MANY)
        rest = await at.store.list_commands(at.tenant_n, device, (), None, Position(page[-1].n, 2), NOW + 10_000)
        assert [row.id for row in rest] == [rows[2].id]

    @on_a_store
    async def test_a_word_on_a_command_that_has_gone_finds_none(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device, ttl=5)
        await at.cancel(row)
        await at.store.age_out_commands(DUE, MANY)
        await refused(Code.NOT_FOUND, at.report(row, now=LATE))
        await refused(Code.NOT_FOUND, at.acknowledge(row, now=LATE))
        assert await at.store.statuses(device, 1, (row.id,)) == {}

    @on_a_store
    async def test_the_commands_of_a_deleted_device_go_like_all_others(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device, ttl=5)
        await at.store.delete_device(at.tenant_n, device, True, NOW)
        assert await at.history(row) == [("created", None), ("cancelled", "pending")]
        assert await at.store.age_out_commands(DUE, MANY) == 1
        await refused(Code.NOT_FOUND, at.history(row))

    @on_a_store
    async def test_what_relays_claimed_goes_with_its_command(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device, ttl=5)
        await at.store.claim(at.tenant_n, device, row.id, 1, NewClaim(b"1", {"status": "executed"}), NOW)
        await at.store.expire_due(DUE)
        assert await at.store.age_out_commands(DUE, MANY) == 1

    @on_a_store
    async def test_events_of_no_command_go_by_their_own_age(self, at: House) -> None:
        row = await at.create(await at.device())
        assert await at.store.age_out_events(NOW - 1, MANY) == 0
        assert await at.store.age_out_events(NOW, 1) == 1
        assert await at.store.age_out_events(NOW, MANY) == 1  # that the device was registered, and bound
        assert await at.history(row) == [("created", None)]

    @on_a_store
    async def test_tokens_go_when_their_binding_is_so_long_over(self, at: House) -> None:
        device, other = await at.unbound(), await at.unbound()
        await at.bind(device, token=b"1" * 32)
        await at.bind(other, token=b"2" * 32)
        await at.store.unbind_device(at.tenant_n, device, True, NOW + 1)
        assert await at.store.age_out_tokens(NOW, MANY) == 0
        assert (await at.token(b"1" * 32)).ended_at == NOW + 1
        assert await at.store.age_out_tokens(NOW + 1, MANY) == 1
        assert await at.store.token_by_hash(b"1" * 32) is None
        assert (await at.token(b"2" * 32)).ended_at is None

    @on_a_store
    async def test_relay_tokens_go_when_their_time_is_over(self, at: House) -> None:
        _, user = await bound(at)
        new = token(at, user)
        await at.store.insert_relay_token(new, NOW)
        assert await at.store.prune_relay_tokens(new.expires_at - 1, MANY) == 0
        assert await at.store.relay_token_by_hash(TOKEN) is not None
        assert await at.store.prune_relay_tokens(new.expires_at, MANY) == 1
        assert await at.store.relay_token_by_hash(TOKEN) is None

    @on_a_store
    async def test_a_recording_of_a_command_that_has_gone_is_taken_for_who_was_bound_when_it_began(
        self, at: House
    ) -> None:
        device, user = await bound(at)
        row = await at.create(device, ttl=5)
        await at.report(row)
        await at.store.unbind_device(at.tenant_n, device, True, NOW + DAY_MS)
        await at.bind(device, now=NOW + 2 * DAY_MS)  # by somebody else, whose it isn't
        new = by_device(at, device, 2, command_id=row.id)
        await at.store.age_out_commands(DUE, MANY)
        await refused(Code.NOT_FOUND, at.store.create_recording(new, LATE))
        facts = {"command_id": row.id, "aged_before": NOW}
        made = (await at.store.create_recording(by_device(at, device, 2, **facts), LATE)).recording
        assert (made.end_user_id, made.generation, made.command_id) == (user, 1, row.id)
        never = by_device(at, device, 2, started_at=NOW - 1, **facts)
        await refused(Code.NOT_FOUND, at.store.create_recording(never, LATE))
        young = by_device(at, device, 2, command_id=row.id, aged_before=NOW - 1)
        await refused(Code.NOT_FOUND, at.store.create_recording(young, LATE))
