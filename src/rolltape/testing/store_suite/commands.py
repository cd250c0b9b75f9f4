"""Creation, idempotency, order, the queue limit, cancellation: see CommandStore."""

import asyncio
from pathlib import Path

from rolltape.codes import Code, Problem
from rolltape.domain.rows import CommandRow
from rolltape.store.inputs import IDEMPOTENCY_KEPT_MS, Created, Position
from rolltape.testing.store_suite.house import DAY_MS, NOW, House, Promises, on_a_store, refused

QUEUE = 100


class CommandPromises(Promises):
    """What a backend can rely on."""

    @on_a_store
    async def test_a_new_command_is_pending_with_its_event(self, at: House) -> None:
        device = await at.device()
        made = await at.created(device, params='{"max_duration_sec": 5}')
        row = made.command
        assert (row.status, row.seq, row.generation, row.device_id) == ("pending", 1, 1, device)
        assert (made.replayed, made.closed, made.device.bound) == (False, (), True)
        assert await at.get(row) == row
        assert await at.history(row) == [("created", None)]

    def test_what_was_answered_is_there_when_the_store_is_opened_again(self, tmp_path: Path) -> None:
        async def first() -> CommandRow:
            async with self.make_store(tmp_path) as ready:
                at = House(ready)
                return await at.create(await at.device(), key="k")

        async def again(row: CommandRow) -> None:
            async with self.make_store(tmp_path) as ready:
                at = House(ready)
                assert await at.get(row) == row
                assert await at.history(row) == [("created", None)]
                assert (await at.created(row.device_id, key="k")).command == row
                assert (await at.create(row.device_id)).seq == 2

        row = asyncio.run(first())
        asyncio.run(again(row))

    @on_a_store
    async def test_seq_only_grows_and_is_never_reset(self, at: House) -> None:
        device = await at.device()
        before = [(await at.create(device)).seq for _ in range(3)]
        floor = await at.store.raise_seq_floor(device)
        await at.store.unbind_device(at.tenant_n, device, True, NOW)
        await at.bind(device)
        after = [(await at.create(device)).seq for _ in range(3)]
        reset = (await at.reset(device))[0].seq
        assert [*before, floor, *after, reset] == sorted({*before, floor, *after, reset})
        assert (await at.create(await at.device())).seq == 1

    @on_a_store
    async def test_many_at_once_have_each_their_own_seq(self, at: House) -> None:
        device = await at.device()
        rows = await asyncio.gather(*(at.create(device) for _ in range(50)))
        assert sorted(row.seq for row in rows) == list(range(1, 51))
        assert [row.n for row in sorted(rows, key=lambda r: r.seq)] == sorted(row.n for row in rows)

    @on_a_store
    async def test_the_same_key_and_request_answers_the_same_command(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device, key="k")
        await at.acknowledge(row)
        again = await at.created(device, key="k")
        assert (again.command.id, again.command.status, again.replayed) == (row.id, "delivered", True)
        problem = await refused(Code.IDEMPOTENCY_KEY_REUSED, at.created(device, key="k", ttl=60))
        assert problem.details is not None
        assert problem.details["status"] == "delivered"
        assert not (await at.created(await at.device(), key="k")).replayed

    @on_a_store
    async def test_two_at_once_with_one_key_make_one_command(self, at: House) -> None:
        device = await at.device()
        made = await asyncio.gather(*(at.created(device, key="k") for _ in range(20)))
        assert sorted(each.replayed for each in made) == [False] + [True] * 19
        assert len({each.command.id for each in made}) == 1
        assert (await at.create(device)).seq == 2

    @on_a_store
    async def test_two_requests_at_once_with_one_key_leave_one_refused(self, at: House) -> None:
        device = await at.device()
        both = (at.created(device, key="k"), at.created(device, key="k", ttl=60))
        answers = await asyncio.gather(*both, return_exceptions=True)
        assert sum(isinstance(answer, Created) for answer in answers) == 1
        assert [a.code for a in answers if isinstance(a, Problem)] == [Code.IDEMPOTENCY_KEY_REUSED]

    @on_a_store
    async def test_a_key_belongs_to_its_binding_and_is_honoured_after_it(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device, key="k")
        await at.store.unbind_device(at.tenant_n, device, True, NOW)
        assert (await at.created(device, key="k")).command.id == row.id
        await refused(Code.DEVICE_NOT_BOUND, at.created(device, key="new"))
        await at.bind(device)
        assert not (await at.created(device, key="k")).replayed

    @on_a_store
    async def test_a_key_is_kept_for_30_days_and_as_long_as_its_command_is_open(self, at: House) -> None:
        device = await at.device()
        closed, open_ = await at.create(device, key="closed"), await at.create(device, key="open", ttl=90 * 86_400)
        await at.cancel(closed)
        last = NOW + IDEMPOTENCY_KEPT_MS
        assert (await at.created(device, key="closed", now=last)).replayed
        assert not (await at.created(device, key="closed", now=last + 1)).replayed
        assert (await at.created(device, key="open", ttl=90 * 86_400, now=NOW + 89 * DAY_MS)).command.id == open_.id

    @on_a_store
    async def test_nothing_is_created_for_whom_it_is_not(self, at: House) -> None:
        unbound = await at.unbound()
        await refused(Code.DEVICE_NOT_BOUND, at.create(unbound))
        await refused(Code.NOT_FOUND, at.create("dev_nobody"))
        at.tenant_n, at.other_tenant_n = at.other_tenant_n, at.tenant_n
        await refused(Code.NOT_FOUND, at.create(unbound))

    @on_a_store
    async def test_another_tenants_command_is_not_found(self, at: House) -> None:
        row = await at.create(await at.device())
        elsewhere = (at.other_tenant_n, row.device_id, row.id)
        await refused(Code.NOT_FOUND, at.store.get_command(*elsewhere, NOW))
        await refused(Code.NOT_FOUND, at.store.cancel_command(*elsewhere, NOW))
        await refused(Code.NOT_FOUND, at.store.acknowledge(*elsewhere, None, "device", None, NOW))
        await refused(Code.NOT_FOUND, at.store.command_events(*elsewhere, 0, 10, NOW))
        await refused(Code.NOT_FOUND, at.store.get_command(at.tenant_n, await at.device(), row.id, NOW))
        assert (await at.get(row)).status == "pending"

    @on_a_store
    async def test_the_queue_takes_a_hundred_but_never_refuses_a_stop_or_a_reset(self, at: House) -> None:
        device = await at.device()
        await asyncio.gather(*(at.create(device, "trigger_upload") for _ in range(QUEUE)))
        await refused(Code.COMMAND_QUEUE_FULL, at.create(device))
        assert (await at.create(device, "stop_recording")).status == "pending"
        assert (await at.reset(device))[1]
        await asyncio.gather(*(at.create(device) for _ in range(QUEUE)))
        await refused(Code.COMMAND_QUEUE_FULL, at.create(device, "trigger_upload"))

    @on_a_store
    async def test_a_command_that_ended_makes_room(self, at: House) -> None:
        device = await at.device()
        rows = await asyncio.gather(*(at.create(device) for _ in range(QUEUE)))
        await at.cancel(rows[0])
        assert (await at.create(device)).status == "pending"
        await refused(Code.COMMAND_QUEUE_FULL, at.create(device))

    @on_a_store
    async def test_a_stop_clears_pending_starts_and_stops_away(self, at: House) -> None:
        device = await at.device()
        delivered = await at.create(device)
        await at.acknowledge(delivered)
        start, stop, upload = [
            await at.create(device, t) for t in ("start_recording", "stop_recording", "trigger_upload")
        ]
        made = await at.created(device, "stop_recording")
        assert set(made.closed) == {stop.id}
        assert [(await at.get(row)).status for row in (delivered, start, stop, upload)] == [
            "delivered",
            "cancelled",
            "cancelled",
            "pending",
        ]
        assert (await at.get(start)).error_code == "superseded"
        assert await at.history(start) == [("created", None), ("cancelled", "pending")]

    @on_a_store
    async def test_a_cancellation_happens_once_and_only_before_the_delivery(self, at: House) -> None:
        device = await at.device()
        row, delivered = await at.create(device), await at.create(device)
        assert [(await at.cancel(row)).status for _ in range(2)] == ["cancelled", "cancelled"]
        assert await at.history(row) == [("created", None), ("cancelled", "pending")]
        await at.acknowledge(delivered)
        problem = await refused(Code.COMMAND_NOT_CANCELLABLE, at.cancel(delivered))
        assert problem.details == {"status": "delivered"}

    @on_a_store
    async def test_a_creation_that_fails_half_way_has_done_nothing(self, at: House) -> None:
        """Params that aren't JSON: the row could be written, its event can't. Those beside it are not harmed."""
        device = await at.device()
        start = await at.create(device)
        beside = [at.create(device, "trigger_upload") for _ in range(5)]
        broken = at.create(device, "stop_recording", params="{broken", key="k")
        answers = await asyncio.gather(*beside[:2], broken, *beside[2:], return_exceptions=True)
        assert [isinstance(answer, Exception) for answer in answers] == [False, False, True, False, False, False]
        assert (await at.get(start)).status == "pending"
        everything = await at.store.list_commands(at.tenant_n, device, (), None, Position(2**62, 100), NOW)
        assert [row.seq for row in everything] == [6, 5, 4, 3, 2, 1]
        assert (await at.acknowledge(start)).status == "delivered"
        assert not (await at.created(device, key="k")).replayed

    @on_a_store
    async def test_a_refusal_leaves_no_trace(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device, key="k")
        await refused(Code.IDEMPOTENCY_KEY_REUSED, at.create(device, "stop_recording", key="k"))
        assert await at.history(row) == [("created", None)]
        assert (await at.create(device)).seq == 2

    @on_a_store
    async def test_a_look_at_what_waits_finds_pending_commands_alone(self, at: House) -> None:
        device = await at.device()
        assert not await at.store.anything_pending(device)
        row = await at.create(device)
        assert await at.store.anything_pending(device)
        await at.acknowledge(row)
        assert not await at.store.anything_pending(device)
        await at.cancel(await at.create(device))
        assert not await at.store.anything_pending(device)
        await at.reset(device)
        assert await at.store.anything_pending(device)

    @on_a_store
    async def test_what_a_caller_created_who_went_away_waits_all_the_same(self, at: House) -> None:
        device = await at.device()
        for gone_after in range(4):  # turns of the loop: before the write, and while it goes on
            assert not await at.store.anything_pending(device)
            creation = asyncio.ensure_future(at.create(device))
            for _ in range(gone_after):
                await asyncio.sleep(0)
            creation.cancel()
            await asyncio.wait((creation,))
            after = await at.create(other := await at.device())  # whose commit is a later one
            assert await at.store.anything_pending(other)
            rows = await at.store.list_commands(at.tenant_n, device, ("pending",), None, Position(1 << 60, 5), NOW)
            assert await at.store.anything_pending(device) is bool(rows)
            for row in (*rows, after):
                await at.cancel(row)
