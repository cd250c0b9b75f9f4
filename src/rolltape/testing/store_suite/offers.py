"""Offers: their order, their marks, the first on each route. See CommandStore."""

from rolltape.testing.store_suite.house import NOW, House, Promises, on_a_store
from rolltape.wire.command import Route

LIMIT = 4
QUIET_MS = 10_000


async def offer(
    at: House, device_id: str, route: Route = "heartbeat", quiet_since: int | None = None, now: int = NOW
) -> tuple[list[int], bool]:
    """The seqs that are offered under the first binding, and whether more wait."""
    rows, more = await at.store.offer(device_id, 1, route, quiet_since, LIMIT, now)
    return [row.seq for row in rows], more


class OfferPromises(Promises):
    """What waits is offered until the device says that it has it."""

    @on_a_store
    async def test_an_offer_is_made_again_and_again_and_delivers_nothing(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device)
        for n in (1, 2, 3):
            assert await offer(at, device, now=NOW + n) == ([1], False)
        seen = await at.get(row)
        assert (seen.status, seen.offers, seen.last_offered_at, seen.route) == ("pending", 3, NOW + 3, "heartbeat")
        assert (seen.evidence, seen.delivered_at) == ("offered", None)
        await at.acknowledge(row)
        assert await offer(at, device) == ([], False)

    @on_a_store
    async def test_the_first_offer_on_each_route_is_an_event(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device)
        for route in ("heartbeat", "poll", "heartbeat", "relay", "poll", "channel"):
            await offer(at, device, route)
        assert await at.history(row) == [("created", None)] + [("offered", None)] * 4
        assert (await at.get(row)).route == "channel"

    @on_a_store
    async def test_a_reset_and_then_stops_go_before_the_rest_by_seq(self, at: House) -> None:
        device = await at.device()
        for _ in range(3):
            await at.create(device, "trigger_upload")
        await at.create(device, "stop_recording")
        await at.create(device)
        assert await offer(at, device) == ([4, 1, 2, 3], True)
        await at.reset(device)
        await at.create(device, "stop_recording")
        await at.create(device)
        assert await offer(at, device) == ([6, 7, 8], False)

    @on_a_store
    async def test_a_poll_that_waits_leaves_out_what_its_route_has_just_offered(self, at: House) -> None:
        device = await at.device()
        await at.create(device)
        assert await offer(at, device, "poll", NOW - QUIET_MS) == ([1], False)
        later = NOW + QUIET_MS - 1
        assert await offer(at, device, "poll", later - QUIET_MS, later) == ([], False)
        assert await offer(at, device, "heartbeat", None, later) == ([1], False)
        assert await offer(at, device, "relay", later - QUIET_MS, later) == ([1], False)
        assert await offer(at, device, "poll", NOW, NOW + QUIET_MS) == ([1], False)

    @on_a_store
    async def test_a_clock_that_was_set_back_holds_no_offer_back(self, at: House) -> None:
        device = await at.device()
        await at.create(device, ttl=604_800)
        await offer(at, device, "poll", NOW - QUIET_MS)
        earlier = NOW - 3_600_000
        assert await offer(at, device, "heartbeat", None, earlier) == ([1], False)
        assert await offer(at, device, "poll", earlier - QUIET_MS, earlier) == ([1], False)

    @on_a_store
    async def test_what_is_in_hand_is_left_out_and_the_rest_moves_up(self, at: House) -> None:
        device = await at.device()
        rows = [await at.create(device, "trigger_upload") for _ in range(LIMIT + 1)]
        but = (rows[0].id, rows[2].id, "cmd_unknown")
        offered, more = await at.store.offer(device, 1, "channel", None, LIMIT, NOW, but)
        assert ([row.seq for row in offered], more) == ([2, 4, 5], False)
        assert (await at.get(rows[0])).offers == 0

    @on_a_store
    async def test_only_a_reset_and_stops_are_offered_where_nothing_else_may_be(self, at: House) -> None:
        device = await at.device()
        upload, stop = await at.create(device, "trigger_upload"), await at.create(device, "stop_recording")
        offered, more = await at.store.offer(device, 1, "channel", None, LIMIT, NOW, only_urgent=True)
        assert ([row.id for row in offered], more) == ([stop.id], False)
        assert (await at.get(upload)).offers == 0
        assert await at.store.offer(device, 1, "channel", None, LIMIT, NOW, (stop.id,), only_urgent=True) == ([], False)

    @on_a_store
    async def test_statuses_are_told_of_the_devices_own_under_that_binding(self, at: House) -> None:
        device, other = await at.device(), await at.device()
        taken, gone, left = [await at.create(device) for _ in range(3)]
        foreign = await at.create(other)
        await at.acknowledge(taken)
        await at.cancel(gone)
        ids = (taken.id, gone.id, left.id, foreign.id, "cmd_unknown", "")
        assert await at.store.statuses(device, 1, ids) == {
            taken.id: "delivered",
            gone.id: "cancelled",
            left.id: "pending",
        }
        assert await at.store.statuses(device, 2, ids) == {}
        assert await at.store.statuses(device, 1, ()) == {}

    @on_a_store
    async def test_only_the_device_and_binding_that_ask_are_offered_to(self, at: House) -> None:
        device, other = await at.device(), await at.device()
        await at.create(device)
        assert await offer(at, other) == ([], False)
        assert await at.store.offer(device, 2, "heartbeat", None, LIMIT, NOW) == ([], False)

    @on_a_store
    async def test_a_channel_that_keeps_quiet_leaves_out_what_any_route_has_offered_since(self, at: House) -> None:
        device = await at.device()
        first = await at.create(device)
        await offer(at, device, "heartbeat", now=NOW)
        later = NOW + QUIET_MS // 2
        assert await offer(at, device, "channel", later - QUIET_MS, later) == ([], False)
        second = await at.create(device)
        assert await offer(at, device, "channel", later - QUIET_MS, later) == ([second.seq], False)
        assert await offer(at, device, "channel", later - QUIET_MS, later) == ([], False)
        assert await offer(at, device, "channel", NOW, NOW + QUIET_MS) == ([first.seq], False)
        assert await offer(at, device, "channel", None, NOW + QUIET_MS) == ([first.seq, second.seq], False)
