"""Time is exact: nothing is open at or past its `expires_at`, in any read or move. See CommandStore."""

import asyncio

from rolltape.codes import RESULT_NOT_REPORTED, Code
from rolltape.store.inputs import Position
from rolltape.testing.store_suite.house import NOW, House, Promises, on_a_store, refused

DUE = NOW + 5000
TOP = Position(2**62, 100)


class ExpiryPromises(Promises):
    """Each test begins with a command that lives for five seconds."""

    @on_a_store
    async def test_a_command_is_open_until_the_last_millisecond(self, at: House) -> None:
        row = await at.create(await at.device(), ttl=5)
        assert row.expires_at == DUE
        assert (await at.get(row, DUE - 1)).status == "pending"
        assert (await at.get(row, DUE)).status == "expired"
        assert await at.history(row, DUE) == [("created", None), ("expired", "pending")]

    @on_a_store
    async def test_one_that_was_delivered_says_that_no_result_came(self, at: House) -> None:
        device = await at.device()
        pending, delivered = await at.create(device, ttl=5), await at.create(device, ttl=5)
        await at.acknowledge(delivered)
        assert (await at.get(pending, DUE)).error_code is None
        expired = await at.get(delivered, DUE)
        assert (expired.status, expired.error_code, expired.delivered_at) == ("expired", RESULT_NOT_REPORTED, NOW)

    @on_a_store
    async def test_a_list_shows_none_open_past_its_time(self, at: House) -> None:
        device = await at.device()
        await at.create(device, ttl=5)
        rows = await at.store.list_commands(at.tenant_n, device, ("pending", "delivered"), None, TOP, DUE)
        assert rows == []
        rows = await at.store.list_commands(at.tenant_n, device, (), None, TOP, DUE)
        assert [row.status for row in rows] == ["expired"]

    @on_a_store
    async def test_counts_and_history_know_it_too(self, at: House) -> None:
        row = await at.create(await at.device(), ttl=5)
        assert (await at.store.device_counts(at.tenant_n, DUE - 1))[6] == 1
        assert (await at.store.device_counts(at.tenant_n, DUE))[6] == 0
        assert (await at.history(row, DUE))[-1] == ("expired", "pending")

    @on_a_store
    async def test_no_move_is_made_from_what_is_due(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device, ttl=5)
        moves = ((Code.COMMAND_NOT_CANCELLABLE, at.cancel), (Code.COMMAND_NO_GO, at.acknowledge))
        for code, move in moves:
            problem = await refused(code, move(row, now=DUE))
            assert problem.details is not None
            assert problem.details["status"] == "expired"

    @on_a_store
    async def test_what_is_due_is_neither_offered_nor_cleared_away(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device, ttl=5)
        assert await at.store.offer(device, 1, "heartbeat", None, 4, DUE) == ([], False)
        assert (await at.created(device, "stop_recording", now=DUE)).closed == ()
        assert (await at.get(row, DUE)).status == "expired"

    @on_a_store
    async def test_an_unbind_finds_expired_what_was_due(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device, "stop_recording", ttl=5)
        assert (await at.store.unbind_device(at.tenant_n, device, False, DUE)).closed == ()
        assert (await at.get(row, DUE)).status == "expired"

    @on_a_store
    async def test_the_timer_hears_when_the_next_is_due_and_expires_it(self, at: House) -> None:
        device = await at.device()
        assert await at.store.next_due() is None
        later, sooner = await at.create(device, ttl=9), await at.create(device, ttl=5)
        assert await at.store.next_due() == DUE
        assert await at.store.expire_due(DUE - 1) == []
        assert await at.store.expire_due(DUE) == [sooner.id]
        assert await at.store.next_due() == later.expires_at
        assert await at.store.expire_due(DUE) == []

    @on_a_store
    async def test_many_that_fell_due_together_expire_each_once(self, at: House) -> None:
        devices = [await at.device() for _ in range(12)]
        rows = await asyncio.gather(*(at.create(device, ttl=5) for device in devices for _ in range(50)))
        gone: list[str] = []
        while batch := await at.store.expire_due(DUE):
            gone += batch
        assert sorted(gone) == sorted(row.id for row in rows)

    @on_a_store
    async def test_a_delivered_reset_that_expires_ends_its_binding(self, at: House) -> None:
        device = await at.device()
        reset, _, _ = await at.reset(device)
        await at.acknowledge(reset)
        beside = await at.create(device, ttl=700_000)
        await at.store.expire_due(reset.expires_at)
        assert not await at.store.is_bound(device, 1)
        assert (await at.get(reset, reset.expires_at)).error_code == RESULT_NOT_REPORTED
        assert (await at.get(beside, reset.expires_at)).error_code == "device_unbound"

    @on_a_store
    async def test_a_reset_that_was_never_delivered_leaves_the_binding(self, at: House) -> None:
        device = await at.device()
        reset, _, _ = await at.reset(device)
        await at.store.expire_due(reset.expires_at)
        assert await at.store.is_bound(device, 1)

    @on_a_store
    async def test_a_reset_and_a_later_command_that_are_both_overdue_expire_both(self, at: House) -> None:
        """As after a downtime: the end of the binding must not trip over what is due as well."""
        device = await at.device()
        reset, _, _ = await at.reset(device)
        await at.acknowledge(reset)
        later = await at.create(device, ttl=700_000)
        now = later.expires_at + 1
        assert await at.store.expire_due(now) == [reset.id, later.id]
        assert [(await at.get(row, now)).status for row in (reset, later)] == ["expired", "expired"]
        assert not await at.store.is_bound(device, 1)

    @on_a_store
    async def test_a_reset_is_not_answered_with_one_that_is_due(self, at: House) -> None:
        device = await at.device()
        first, _, _ = await at.reset(device)
        second, created, _ = await at.reset(device, now=first.expires_at)
        assert (created, second.id != first.id, second.status) == (True, True, "pending")
