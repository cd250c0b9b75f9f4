"""Bindings: who a device obeys, and what their end closes. See DeviceStore."""

import asyncio
from dataclasses import replace

from rolltape.codes import Code
from rolltape.domain.lifecycle import Word
from rolltape.store.inputs import DeviceFilter, Position
from rolltape.testing.store_suite.house import EXECUTED, FAILED, NOW, House, Promises, by_a_relay, on_a_store, refused

TOP = Position(2**62, 100)


class BindingPromises(Promises):
    """A binding has a generation that only grows; what belongs to one never touches a later one."""

    @on_a_store
    async def test_the_same_serial_number_is_the_same_device(self, at: House) -> None:
        first, again = await at.unbound(serial="s"), await at.unbound(serial="s")
        assert first == again
        row = await at.store.get_device(at.tenant_n, first)
        assert (row.generation, row.end_user_id) == (0, None)
        await refused(Code.NOT_FOUND, at.store.get_device(at.other_tenant_n, first))

    @on_a_store
    async def test_many_registrations_of_one_serial_at_once_make_one_device(self, at: House) -> None:
        assert len(set(await asyncio.gather(*(at.unbound(serial="s") for _ in range(10))))) == 1

    @on_a_store
    async def test_binding_again_to_the_same_user_changes_nothing(self, at: House) -> None:
        device, user = await at.unbound(), await at.user()
        await at.bind(device, user)
        row = await at.create(device)
        assert (await at.bind(device, user)).generation == 1
        assert (await at.get(row)).status == "pending"
        await refused(Code.DEVICE_ALREADY_BOUND, at.bind(device))
        assert await at.store.is_bound(device, 1)

    @on_a_store
    async def test_two_users_at_once_leave_one_bound(self, at: House) -> None:
        device, users = await at.unbound(), [await at.user(), await at.user()]
        answers = await asyncio.gather(*(at.bind(device, user) for user in users), return_exceptions=True)
        assert sum(isinstance(answer, Exception) for answer in answers) == 1

    @on_a_store
    async def test_only_a_user_of_this_tenant_can_be_bound(self, at: House) -> None:
        device = await at.unbound()
        await refused(Code.NOT_FOUND, at.bind(device, await at.user(at.other_tenant_n)))
        await refused(Code.NOT_FOUND, at.bind("dev_nobody"))

    @on_a_store
    async def test_an_unbind_cancels_what_is_open_and_is_then_a_no_op(self, at: House) -> None:
        device = await at.device()
        pending, delivered = await at.create(device), await at.create(device)
        await at.acknowledge(delivered)
        ended = await at.store.unbind_device(at.tenant_n, device, False, NOW)
        assert (ended.device.end_user_id, ended.device.generation) == (None, 1)
        assert set(ended.closed) == {pending.id, delivered.id}
        assert await at.history(delivered) == [("created", None), ("delivered", "pending"), ("cancelled", "delivered")]
        assert (await at.get(pending)).error_code == "device_unbound"
        assert (await at.store.unbind_device(at.tenant_n, device, False, NOW)).closed == ()
        assert (await at.bind(device)).generation == 2

    @on_a_store
    async def test_a_device_that_records_or_has_a_stop_open_is_only_unbound_by_force(self, at: House) -> None:
        device = await at.device()
        await at.report(await at.create(device, params='{"max_duration_sec":60}'), recording_id="rec_a")
        await refused(Code.DEVICE_RECORDING, at.store.unbind_device(at.tenant_n, device, False, NOW + 59_999))
        stop = await at.create(device, "stop_recording")
        await refused(Code.DEVICE_RECORDING, at.store.unbind_device(at.tenant_n, device, False, NOW + 60_000))
        await refused(Code.DEVICE_RECORDING, at.store.delete_device(at.tenant_n, device, False, NOW))
        assert (await at.get(stop)).status == "pending"
        assert (await at.store.unbind_device(at.tenant_n, device, True, NOW)).closed == (stop.id,)

    @on_a_store
    async def test_a_stop_that_was_obeyed_or_found_nothing_frees_the_device(self, at: House) -> None:
        for word in (None, Word("failed", None, "not_recording", "device")):
            device = await at.device()
            await at.report(await at.create(device), recording_id="rec_a")
            await at.report(await at.create(device, "stop_recording"), word)
            assert (await at.store.unbind_device(at.tenant_n, device, False, NOW)).device.end_user_id is None

    @on_a_store
    async def test_an_old_stop_that_is_reported_late_ends_no_newer_recording(self, at: House) -> None:
        device = await at.device()
        stop = await at.create(device, "stop_recording")
        await at.report(await at.create(device), recording_id="rec_a")
        await at.report(stop)
        await refused(Code.DEVICE_RECORDING, at.store.unbind_device(at.tenant_n, device, False, NOW))

    @on_a_store
    async def test_a_recording_that_better_evidence_denies_does_not_run(self, at: House) -> None:
        for recording_id in ("rec_a", None):
            device = await at.device()
            start = await at.create(device)
            result = None if recording_id is None else '{"recording_id":"rec_a"}'
            await at.report(start, by_a_relay(replace(EXECUTED, result=result)), recording_id=recording_id)
            await refused(Code.DEVICE_RECORDING, at.store.unbind_device(at.tenant_n, device, False, NOW))
            await at.report(start, FAILED)
            assert (await at.store.unbind_device(at.tenant_n, device, False, NOW)).device.end_user_id is None

    @on_a_store
    async def test_a_deleted_device_is_gone_and_its_token_can_finish_its_story(self, at: House) -> None:
        device = await at.unbound(serial="s")
        await at.bind(device)
        row = await at.create(device)
        assert await at.store.delete_device(at.tenant_n, device, False, NOW) == (row.id,)
        await refused(Code.NOT_FOUND, at.store.get_device(at.tenant_n, device))
        await refused(Code.NOT_FOUND, at.get(row))
        assert await at.store.list_devices(at.tenant_n, DeviceFilter(), TOP, NOW) == []
        assert (await at.store.command_of_generation(at.tenant_n, device, row.id, 1, NOW)).status == "cancelled"
        assert (await at.report(row, FAILED, generation=1)).command.status == "failed"
        assert await at.unbound(serial="s") != device

    @on_a_store
    async def test_a_reset_closes_the_rest_and_there_is_one_at_a_time(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device)
        reset, created, closed = await at.reset(device)
        assert (reset.status, reset.type, reset.generation, created, closed) == (
            "pending",
            "factory_reset",
            1,
            True,
            (row.id,),
        )
        assert (await at.get(row)).error_code == "device_reset"
        again, created, closed = await at.reset(device)
        assert (again.id, created, closed) == (reset.id, False, ())
        await refused(Code.DEVICE_NOT_BOUND, at.reset(await at.unbound()))

    @on_a_store
    async def test_a_reset_that_was_obeyed_ends_its_own_binding_and_never_a_later_one(self, at: House) -> None:
        device = await at.device()
        reset, _, _ = await at.reset(device)
        beside = await at.create(device)
        assert (await at.report(reset)).unbound
        assert (await at.get(beside)).error_code == "device_unbound"
        await at.bind(device)
        late, _, _ = await at.reset(device)
        await at.store.unbind_device(at.tenant_n, device, True, NOW)
        await at.bind(device)
        assert not (await at.report(late)).unbound
        assert await at.store.is_bound(device, 3)

    @on_a_store
    async def test_a_reset_that_failed_leaves_the_binding(self, at: House) -> None:
        device = await at.device()
        reset, _, _ = await at.reset(device)
        assert not (await at.report(reset, FAILED)).unbound
        assert await at.store.is_bound(device, 1)

    @on_a_store
    async def test_the_secret_stays_with_its_binding_and_is_new_with_the_next(self, at: House) -> None:
        device, user = await at.unbound("HS256"), await at.user()
        for n, secret in enumerate((b"one", b"two"), 1):
            facts = (at.tenant_n, device, user, "[]")
            _, sealed = await at.store.bind_device(*facts, secret, bytes([n]) * 32, None, NOW)
            _, again = await at.store.bind_device(*facts, b"not this", bytes([n + 8]) * 32, None, NOW)
            assert sealed == again == secret == await at.store.sealed_secret(device, n)
            await at.store.unbind_device(at.tenant_n, device, True, NOW)
        assert await at.store.sealed_secret(device, 1) == b"one"

    @on_a_store
    async def test_the_end_of_an_end_user_lets_all_its_devices_go(self, at: House) -> None:
        device, other, user = await at.unbound(), await at.device(), await at.user()
        await at.bind(device, user)
        row = await at.create(device, "stop_recording")
        assert await at.store.delete_end_user(at.tenant_n, user, NOW) == ((device,), (row.id,))
        assert not await at.store.is_bound(device, 1)
        assert await at.store.is_bound(other, 1)
        await refused(Code.NOT_FOUND, at.store.get_end_user(at.tenant_n, user))
        await refused(Code.NOT_FOUND, at.store.delete_end_user(at.tenant_n, user, NOW))
