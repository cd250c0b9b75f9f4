"""A start, a stop and its sound, the link lost at every packet in turn: nothing is lost, and nothing runs twice."""

import asyncio
import contextlib

import pytest
from bleak.exc import BleakError

from tests.ble.air import Air, Caller, Place, call, find, told
from tests.ble.samples import RECORDING
from tests.ble.sessions import DEVICE
from tests.ble.story import SOUND, STOP, Device, Relay, Server

PARTS = 4
ONCE_EACH = ["start_recording", "stop_recording"]
TRIES = 4
"""One link is taken away, so that the second must do; the others are for a radio that loses more by itself."""


def all_is_well(server: Server, device: Device) -> bool:
    return (
        device.ran == ONCE_EACH
        and set(server.status.values()) == {"executed"}
        and STOP in server.status
        and bytes(server.bytes_of[RECORDING]) == SOUND
        and not device.holds
        and device.ends == device.links
    )


async def converse(place: Place, server: Server, device: Device, lose_after: int | None = None) -> int:
    """Connect and talk, again and again, until all is done; answers how many tries it took."""
    for number in range(TRIES):
        if await once(place, server, device, lose_after if number == 0 else None):
            return number + 1
    raise AssertionError("it never came to an end")


async def once(place: Place, server: Server, device: Device, lose_after: int | None) -> bool:
    found, _ = await find(place, DEVICE)
    with contextlib.suppress(BleakError, TimeoutError):
        async with call(place, found) as caller:
            relay = Relay(server, caller, device)
            if lose_after is None:
                await relay.run()
            else:
                await leave_after(lose_after, caller, relay)
            return relay.is_done
    return False


async def leave_after(packets: int, caller: Caller, relay: Relay) -> None:
    """Hang up after so many notifications: what can be done on a radio that nobody holds."""
    running = asyncio.create_task(relay.run())
    while not running.done() and len(caller.fragments) < packets:
        await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.virtual_only
@pytest.mark.parametrize("part", range(PARTS))
def test_a_link_lost_at_any_packet_costs_time_and_nothing_else(air: Air, part: int) -> None:
    async def story() -> None:
        async with air.open() as place:
            assert place.radio is not None
            counting = place.radio.cut_after(None)
            await one_story(place, "undisturbed", 1)
            assert counting.passed > 40, "discovery, the conversation, and each way of both"
            places = range(part, counting.passed, PARTS)
            lost = 0
            for packets in places:
                cut = place.radio.cut_after(packets)
                await one_story(place, f"lost after packet {packets}", 2)
                lost += cut.done.is_set()
            assert lost > 0.9 * len(places), "two runs are alike but for a packet or two"

    told(story())


async def one_story(place: Place, name: str, tries: int) -> None:
    server, device = Server(), Device()
    async with place.recorder(device):
        assert await converse(place, server, device) <= tries, name
    assert all_is_well(server, device), f"{name}: {device.ran}, {server.status}"


def test_a_relay_that_hangs_up_after_any_notification_is_made_good_by_its_next_call(air: Air) -> None:
    async def story() -> None:
        async with air.open() as place:
            for packets in range(0, 24, 2):
                server, device = Server(), Device()
                async with place.recorder(device):
                    await converse(place, server, device, lose_after=packets)
                    assert device.ran == ONCE_EACH, f"hung up after {packets}"
                    assert bytes(server.bytes_of[RECORDING]) == SOUND

    told(story())
