"""What devices say of themselves: kept at once, written in batches, seen by every read. See DeviceStore."""

from rolltape.store.inputs import DeviceFilter, Position, StateDelta
from rolltape.testing.store_suite.house import NOW, House, Promises, on_a_store

UNTIL = NOW + 180_000
TOP = Position(2**62, 100)


async def _heard(at: House, device: str, until: int) -> None:
    """A heartbeat that keeps the device online until then is on the disk."""
    seen = until - 180_000
    at.store.note_state(device, StateDelta(at.tenant_n, until, last_heartbeat_at=seen, seen_at=seen))
    await at.store.flush_states()


class StatePromises(Promises):
    """What a device doesn't say leaves what it said before."""

    @on_a_store
    async def test_what_was_said_is_read_at_once_and_merged(self, at: House) -> None:
        device = await at.device()
        at.store.note_state(device, StateDelta(at.tenant_n, UNTIL, battery_percent=80, flags=3, seen_at=NOW))
        at.store.note_state(device, StateDelta(at.tenant_n, UNTIL + 1, battery_percent=0, seen_at=NOW + 1))
        row = await at.store.get_device(at.tenant_n, device)
        assert (row.battery_percent, row.flags, row.online_until) == (0, 3, UNTIL + 1)
        at.store.note_state(device, StateDelta(at.tenant_n, UNTIL, flags=4, seen_at=NOW + 2))
        await at.store.flush_states()
        row = await at.store.get_device(at.tenant_n, device)
        assert (row.battery_percent, row.flags, row.online_until) == (0, 4, UNTIL + 1)

    @on_a_store
    async def test_a_firmware_version_is_kept_as_it_was_said_also_an_empty_one(self, at: House) -> None:
        device = await at.device()
        for said in ("1.2.3", None, ""):
            at.store.note_state(device, StateDelta(at.tenant_n, UNTIL, firmware_version=said, seen_at=NOW))
            row = await at.store.get_device(at.tenant_n, device)
            assert row.firmware_version == ("1.2.3" if said is None else said)

    @on_a_store
    async def test_the_next_contact_is_known_before_it_is_written_and_after(self, at: House) -> None:
        device = await at.device()
        assert at.store.expected_at(device) is None
        at.store.note_state(device, StateDelta(at.tenant_n, UNTIL, next_contact_at=NOW + 60_000, seen_at=NOW))
        assert at.store.expected_at(device) == NOW + 60_000
        await at.store.flush_states()
        assert (await at.store.device_facts(at.tenant_n, device)).next_contact_at == NOW + 60_000

    @on_a_store
    async def test_a_device_is_online_until_it_has_been_silent_too_long(self, at: House) -> None:
        device, other = await at.device(), await at.device()
        for id_, until in ((device, UNTIL), (other, UNTIL + 5)):
            at.store.note_state(id_, StateDelta(at.tenant_n, until, seen_at=NOW))
        online = await at.store.list_devices(at.tenant_n, DeviceFilter(online=True), TOP, UNTIL - 1)
        assert {row.id for row in online} == {device, other}
        assert await at.store.mark_offline(UNTIL - 1, 10) == 0
        assert await at.store.mark_offline(UNTIL, 10) == 1
        assert await at.store.mark_offline(UNTIL, 10) == 0
        offline = await at.store.list_devices(at.tenant_n, DeviceFilter(online=False), TOP, UNTIL)
        assert [row.id for row in offline] == [device]

    @on_a_store
    async def test_a_device_that_was_heard_again_and_again_is_told_offline_once_and_on_time(self, at: House) -> None:
        device = await at.device()
        for until in range(UNTIL, UNTIL + 480_000, 60_000):
            await _heard(at, device, until)
            assert await at.store.mark_offline(until - 120_000, 10) == 0
        assert await at.store.mark_offline(until - 1, 10) == 0
        assert await at.store.mark_offline(until, 10) == 1
        assert await at.store.mark_offline(until + 999_999, 10) == 0
        await _heard(at, device, until + 500_000)
        assert await at.store.mark_offline(until + 499_999, 10) == 0
        assert await at.store.mark_offline(until + 500_000, 10) == 1

    @on_a_store
    async def test_a_device_is_told_offline_by_the_clock_that_was_set_back(self, at: House) -> None:
        day = 86_400_000
        for looked in (False, True):
            device = await at.device()
            await _heard(at, device, UNTIL + day)
            if looked:  # it was heard, and is to be looked at when that says
                await _heard(at, device, UNTIL + day + 60_000)
                assert await at.store.mark_offline(UNTIL + day, 10) == 0
            await _heard(at, device, UNTIL)
            assert await at.store.mark_offline(UNTIL - 1, 10) == 0
            assert await at.store.mark_offline(UNTIL, 10) == 1

    @on_a_store
    async def test_those_that_were_heard_hold_up_none_that_is_gone(self, at: House) -> None:
        there = [await at.device() for _ in range(7)]
        gone = await at.device()
        for device in there:
            await _heard(at, device, UNTIL)
        await _heard(at, gone, UNTIL + 5)
        for device in there:
            await _heard(at, device, UNTIL + 60_000)
        assert await at.store.mark_offline(UNTIL + 5, 2) == 1
        assert await at.store.mark_offline(UNTIL + 59_999, 2) == 0
        told = [await at.store.mark_offline(UNTIL + 60_000, 2) for _ in range(5)]
        assert told == [2, 2, 2, 1, 0]

    @on_a_store
    async def test_a_recording_that_a_heartbeat_names_runs_until_one_says_otherwise(self, at: House) -> None:
        device = await at.device()
        says = StateDelta(at.tenant_n, UNTIL, rec_said=True, rec_as_of=NOW, rec_evidence="device", seen_at=NOW)
        says.rec_id, says.rec_initiated_by = "rec_a", "remote"
        at.store.note_state(device, says)
        row = await at.store.get_device(at.tenant_n, device)
        assert (row.rec_active, row.rec_id, row.rec_initiated_by) == (1, "rec_a", "remote")
        idle = StateDelta(at.tenant_n, UNTIL, rec_said=True, rec_as_of=NOW + 1, rec_evidence="device", seen_at=NOW + 1)
        at.store.note_state(device, idle)
        assert (await at.store.get_device(at.tenant_n, device)).rec_active == 0

    @on_a_store
    async def test_counts_are_of_one_tenant(self, at: House) -> None:
        device, _ = await at.device(), await at.unbound()
        full = StateDelta(at.tenant_n, UNTIL, battery_percent=14, storage_used_mb=91, storage_total_mb=100, seen_at=NOW)
        at.store.note_state(device, full)
        await at.create(device)
        assert await at.store.device_counts(at.tenant_n, NOW) == (2, 1, 1, 0, 1, 1, 1)
        assert await at.store.device_counts(at.other_tenant_n, NOW) == (0, 0, 0, 0, 0, 0, 0)

    @on_a_store
    async def test_a_bound_device_is_found_by_its_id_with_how_long_a_broker_reaches_it(self, at: House) -> None:
        device = await at.device()
        bound = await at.store.bound_device(device)
        assert bound is not None
        assert (bound.tenant_n, bound.project_id, bound.device_id, bound.generation) == (
            at.tenant_n,
            at.project_id,
            device,
            1,
        )
        assert (bound.heartbeat_sec, bound.grant_alg, bound.mqtt_until) == (60, "EdDSA", None)
        at.store.note_state(device, StateDelta(at.tenant_n, UNTIL, mqtt_until=UNTIL, seen_at=NOW))
        at.store.note_state(device, StateDelta(at.tenant_n, UNTIL + 5, flags=1, seen_at=NOW + 5))
        await at.store.flush_states()
        bound = await at.store.bound_device(device)
        assert bound is not None
        assert bound.mqtt_until == UNTIL
        await at.store.unbind_device(at.tenant_n, device, True, NOW)
        assert await at.store.bound_device(device) is None
        assert await at.store.bound_device("dev_none") is None
