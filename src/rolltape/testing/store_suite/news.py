"""Routes and news: which route won, and who is told that a command has moved. See CommandStore."""

import asyncio

from rolltape.codes import Code
from rolltape.testing.store_suite.house import EXECUTED, NOW, House, Promises, by_a_relay, on_a_store, refused
from rolltape.testing.store_suite.offers import offer


class NewsPromises(Promises):
    """The first acknowledgement wins, and the others learn of it."""

    @on_a_store
    async def test_the_route_of_the_first_acknowledgement_stays(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device)
        for route in ("channel", "poll"):
            await offer(at, device, route)
        assert (await at.acknowledge(row, route="channel")).route == "channel"
        assert (await at.acknowledge(row, route="heartbeat")).route == "channel"
        await at.report(row, route="relay")
        assert (await at.get(row)).route == "channel"

    @on_a_store
    async def test_an_acknowledgement_of_no_route_keeps_that_of_the_last_offer(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device)
        await offer(at, device, "poll")
        assert (await at.acknowledge(row)).route == "poll"

    @on_a_store
    async def test_the_route_of_a_report_counts_where_there_was_no_acknowledgement(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device)
        await offer(at, device, "poll")
        assert (await at.report(row, by_a_relay(EXECUTED), route="relay")).command.route == "relay"
        assert (await at.report(row, route="channel")).command.route == "relay"

    @on_a_store
    async def test_two_routes_that_acknowledge_at_once_are_one_delivery(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device)
        first, second = await asyncio.gather(
            at.acknowledge(row, route="channel"), at.acknowledge(row, evidence="relay", route="relay")
        )
        assert (first.route, second.route, second.evidence) == ("channel", "channel", "device")
        assert await at.history(row) == [("created", None), ("delivered", "pending")]

    @on_a_store
    async def test_whatever_moves_a_command_its_device_is_told_of(self, at: House) -> None:
        device = await at.device()
        rows = [await at.create(device, ttl=60 if n == 3 else 300) for n in range(4)]
        assert at.news() == []
        await at.acknowledge(rows[0])
        assert at.news() == [device]
        await at.report(rows[0])
        assert at.news() == [device]
        await at.cancel(rows[1])
        assert at.news() == [device]
        await at.get(rows[2], NOW + 60_000)  # to look is to expire what is due
        assert at.news() == [device]
        assert (await at.create(device, "stop_recording", now=NOW + 60_000)).seq == 5
        assert at.news() == [device]
        await at.store.unbind_device(at.tenant_n, device, True, NOW + 61_000)
        assert at.news() == [device]

    @on_a_store
    async def test_what_moves_nothing_is_no_news(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device)
        await at.acknowledge(row)
        at.news()
        await at.acknowledge(row)
        await offer(at, device)
        await refused(Code.COMMAND_NOT_CANCELLABLE, at.cancel(row))
        assert at.news() == []

    @on_a_store
    async def test_a_reset_that_expires_tells_of_its_device(self, at: House) -> None:
        device, other = await at.device(), await at.device()
        (reset, _, _), row = await at.reset(device), await at.create(other)
        await at.acknowledge(reset)
        at.news()
        await at.store.expire_due(reset.expires_at)
        assert set(at.news()) == {device, other}
        assert (await at.get(row, reset.expires_at)).status == "expired"
