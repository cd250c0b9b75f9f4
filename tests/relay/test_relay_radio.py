"""The gateway's central: a real bleak client on a virtual radio, real GATT peripherals, a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rolltape.clock import SystemClock
from rolltape.recorder.ble.link import AirSession
from rolltape.recorder.ble.peripheral import Peripheral
from rolltape.relay.radio import BleakRadio
from rolltape.testing.radio import VirtualRadio
from rolltape.wire.ids import new_id
from tests.relay.dictaphone import Dictaphone
from tests.relay.town import Town, told


@asynccontextmanager
async def on_air(air: VirtualRadio, *sessions: AirSession, advertise_ms: float = 20) -> AsyncIterator[None]:
    """Devices that advertise."""
    peripherals = [Peripheral(air.hci(), session, SystemClock(), advertise_ms=advertise_ms) for session in sessions]
    running = [asyncio.create_task(peripheral.run()) for peripheral in peripherals]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=5)


@asynccontextmanager
async def virtual(air: VirtualRadio, mtu: int) -> AsyncIterator[BleakRadio]:
    async with air.adapter(mtu=mtu) as adapter:
        yield BleakRadio(scanner=adapter.scanner, client=adapter.client)


async def one_round(town: Town, device: Dictaphone) -> tuple[str, str]:
    start = town.command(device)
    await device.until(lambda: device.obeyed == [start])
    stop = town.command(device, "stop_recording")
    await device.until(lambda: device.obeyed == [start, stop] and not device.holds)
    return start, stop


@pytest.mark.parametrize("mtu", [23, 185, 517])
def test_by_bleak_start_and_stop_go_out_and_the_recording_comes_back(town: Town, mtu: int) -> None:
    device = town.dictaphone(needs_encryption=True)

    async def story() -> tuple[str, str]:
        air = VirtualRadio()
        async with virtual(air, mtu) as radio, on_air(air, device), town.gateway(radio):
            return await one_round(town, device)

    start, _ = told(story())
    read = town.read(device, start)
    assert read["delivery"]["evidence"] == "device_signed"
    assert town.audio(read["result"]["recording_id"]) == device.sound


@pytest.mark.parametrize("packets", [3, 10, 17, 24, 31, 38, 45, 60, 90])
def test_by_bleak_a_link_lost_at_any_packet_costs_time_and_nothing_else(town: Town, packets: int) -> None:
    device = town.dictaphone()

    async def story() -> tuple[str, str]:
        air = VirtualRadio()
        cut = air.cut_after(packets)
        async with virtual(air, 185) as radio, on_air(air, device), town.gateway(radio):
            commands = await one_round(town, device)
            await cut.done.wait()
            return commands

    for command in told(story()):
        assert town.story(device, command).count("executed") == 1


def test_a_hundred_devices_around_and_each_gets_its_turn(town: Town) -> None:
    own = [town.dictaphone(sound=b"sound") for _ in range(20)]
    strangers: list[Any] = [Stranger(new_id("dev", 0)) for _ in range(80)]

    async def story() -> list[str]:
        air = VirtualRadio()
        async with (
            virtual(air, 185) as radio,
            on_air(air, *strangers, *own, advertise_ms=300),
            town.gateway(radio, turn_sec=5.0, idle_sec=0.0, visit_sec=30.0),
        ):
            commands = [town.command(device) for device in own]
            for device in own:
                await device.until(lambda: device.obeyed and not device.reports)  # noqa: B023 - awaited here
            return commands

    commands = told(story())
    assert [device.obeyed for device in own] == [[command] for command in commands]
    assert [stranger.visits for stranger in strangers] == [0] * len(strangers)


class Stranger:
    """Somebody else's device."""

    holds = False

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self.visits = 0

    async def opened(self, link: Any) -> None:
        self.visits += 1

    async def received(self, message: Any) -> None:
        pass

    def closed(self) -> None:
        pass
