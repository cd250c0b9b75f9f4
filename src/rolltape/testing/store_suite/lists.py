"""Lists: newest first, whole, and stable while rows are added."""

from rolltape.codes import Code
from rolltape.domain.rows import CommandRow
from rolltape.store.inputs import FIRST, DeviceFilter, Position
from rolltape.testing.store_suite.house import NOW, House, Promises, on_a_store, refused


async def page(
    at: House,
    device: str,
    below: int = FIRST,
    limit: int = 3,
    statuses: tuple[str, ...] = (),
    type_: str | None = None,
) -> list[CommandRow]:
    """A page of a device's commands."""
    return await at.store.list_commands(at.tenant_n, device, statuses, type_, Position(below, limit), NOW)


class ListPromises(Promises):
    """A page goes on below the last `n` of the one before."""

    @on_a_store
    async def test_pages_of_commands_are_stable_while_commands_are_added(self, at: House) -> None:
        device = await at.device()
        for _ in range(7):
            await at.create(device)
        seen, below = [], FIRST
        while rows := await page(at, device, below):
            seen += [row.seq for row in rows]
            below = rows[-1].n
            await at.create(device)
        assert seen == [7, 6, 5, 4, 3, 2, 1]

    @on_a_store
    async def test_commands_are_listed_by_status_and_type(self, at: House) -> None:
        device = await at.device()
        rows = [await at.create(device, "trigger_upload" if n % 2 else "start_recording") for n in range(6)]
        await at.cancel(rows[1])
        await at.acknowledge(rows[2])
        assert [row.seq for row in await page(at, device, limit=9, type_="trigger_upload")] == [6, 4, 2]
        assert [row.seq for row in await page(at, device, limit=9, statuses=("pending",))] == [6, 5, 4, 1]
        both = await page(at, device, limit=3, statuses=("cancelled", "pending"))
        assert [row.seq for row in both] == [6, 5, 4]
        both = await page(at, device, both[-1].n, limit=3, statuses=("cancelled", "pending"))
        assert [row.seq for row in both] == [2, 1]
        of_type = await page(at, device, limit=9, statuses=("cancelled", "pending"), type_="trigger_upload")
        assert [row.seq for row in of_type] == [6, 4, 2]

    @on_a_store
    async def test_a_list_of_another_tenants_device_is_not_found(self, at: House) -> None:
        device = await at.device()
        at.tenant_n = at.other_tenant_n
        await refused(Code.NOT_FOUND, page(at, device))

    @on_a_store
    async def test_a_history_goes_on_where_it_was(self, at: House) -> None:
        row = await at.create(await at.device())
        await at.acknowledge(row)
        await at.report(row)
        seen, after = [], 0
        while events := await at.store.command_events(at.tenant_n, row.device_id, row.id, after, 1, NOW):
            seen += [event.type for event in events]
            after = events[-1].n
        assert seen == ["command.created", "command.delivered", "command.executed"]

    @on_a_store
    async def test_devices_are_listed_by_what_they_are(self, at: House) -> None:
        user, bound, unbound = await at.user(), await at.unbound(serial="a"), await at.unbound(serial="b")
        await at.bind(bound, user)

        async def ids(**by: object) -> list[str]:
            rows = await at.store.list_devices(at.tenant_n, DeviceFilter(**by), Position(FIRST, 10), NOW)  # type: ignore[arg-type]
            return [row.id for row in rows]

        assert await ids() == [unbound, bound]
        assert await ids(status="bound") == await ids(end_user_id=user) == await ids(serial_number="a") == [bound]
        assert await ids(status="unbound") == await ids(serial_number="b") == [unbound]
        assert await ids(online=True) == await ids(end_user_id="eu_nobody") == []
        assert await ids(online=False) == [unbound, bound]

    @on_a_store
    async def test_pages_of_devices_and_end_users_are_stable(self, at: House) -> None:
        devices, users = [await at.unbound() for _ in range(3)], [await at.user() for _ in range(3)]
        first = await at.store.list_devices(at.tenant_n, DeviceFilter(), Position(FIRST, 2), NOW)
        people = await at.store.list_end_users(at.tenant_n, None, Position(FIRST, 2))
        await at.unbound()
        await at.user()
        rest = await at.store.list_devices(at.tenant_n, DeviceFilter(), Position(first[-1].n, 9), NOW)
        others = await at.store.list_end_users(at.tenant_n, None, Position(people[-1].n, 9))
        assert [row.id for row in (*first, *rest)] == devices[::-1]
        assert [row.id for row in (*people, *others)] == users[::-1]
