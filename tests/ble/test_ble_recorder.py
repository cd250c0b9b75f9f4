"""The real recorder, in a thread of its own, over the air: a start, a stop, its sound, and the link lost anywhere."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bleak.exc import BleakError

from rolltape.recorder.air.session import Session
from rolltape.recorder.ble.peripheral import Peripheral
from rolltape.testing.radio import VirtualRadio
from rolltape.testing.recorder import FakeRecorder
from rolltape.testing.script_relay import ScriptRelay
from rolltape.wire.ble import to_device, to_relay
from rolltape.wire.ble.frames import ResultCode
from tests.air.air_rig import kept, recorder_of, untold
from tests.ble.air import Air, Caller, Place, call, find, told
from tests.e2e.recorder_rig import samples_of

EVERY = {23: 53, 185: 11, 517: 7}
"""At each MTU the link is lost at every so manieth packet: primes, so that each kind of packet has its turn."""
pytestmark = pytest.mark.virtual_only


@asynccontextmanager
async def on_the_air(radio: VirtualRadio, recorder: FakeRecorder) -> AsyncIterator[None]:
    """Give a running recorder a radio, in its own thread."""
    running: list[asyncio.Task[Any]] = []

    async def begin(session: Session) -> None:
        peripheral = Peripheral(radio.hci(), session, recorder.clock, advertise_ms=5)
        running.append(asyncio.create_task(peripheral.run()))

    async def end(_session: Session) -> None:
        running[0].cancel()
        await asyncio.gather(*running, return_exceptions=True)

    await asyncio.to_thread(recorder.on_air, begin)
    try:
        yield
    finally:
        await asyncio.to_thread(recorder.on_air, end)


class Carrier:
    """An honest relay with the server in its hands, on one connection."""

    def __init__(self, server: ScriptRelay, caller: Caller) -> None:
        self._server = server
        self._caller = caller

    async def run(self, is_done: Any) -> None:
        """Until it is done, or the link is gone."""
        await self._caller.send(to_device.Hello(online=True))
        await self._give()
        while not await asyncio.to_thread(is_done):
            message = await self._caller.hear()
            if message is None:
                return
            await self._heard(message)

    async def _give(self) -> None:
        for command in list(self._server.commands.values()):
            if command.status == "pending":
                await self._caller.send(to_device.Grant(command.grant))
        await self._caller.send(to_device.Next())

    async def _heard(self, message: Any) -> None:
        for reply in self._server._replies(message):
            await self._caller.send(reply)
        if isinstance(message, to_relay.Report):
            self._go_on()
            await self._give()
        elif isinstance(message, to_relay.Recording) and self._server.recordings[message.recording_id].is_in:
            await self._caller.send(to_device.Taken(what=0x85, id=message.recording_id))
            await self._caller.send(to_device.Next())
        elif isinstance(message, to_relay.Result) and message.code == ResultCode.NEEDS_ENCRYPTION:
            await self._caller.client.pair()
            await self._caller.send(to_device.Next())

    def _go_on(self) -> None:
        """A stop is made once the start was done."""
        if len(self._server.commands) == 1 and all(c.status == "executed" for c in self._server.commands.values()):
            self._server.command("stop_recording")


async def carried(place: Place, server: ScriptRelay, recorder: FakeRecorder) -> None:
    """Call the recorder again and again until all is told and proved."""

    def is_done() -> bool:
        is_told = len(server.commands) == 2 and all(c.status == "executed" for c in server.commands.values())
        return is_told and untold(recorder) == 0 == kept(recorder)

    while not await asyncio.to_thread(is_done):
        device, _ = await find(place, server.device_id)
        with contextlib.suppress(BleakError, TimeoutError):
            async with call(place, device) as caller:
                await Carrier(server, caller).run(is_done)


async def one_story(place: Place, folder: Path, name: str) -> None:
    folder.mkdir()
    server = ScriptRelay()
    server.command("start_recording")
    recorder = recorder_of(server, folder)
    assert place.radio is not None
    await asyncio.to_thread(recorder.start)
    try:
        async with on_the_air(place.radio, recorder):
            await carried(place, server, recorder)
    finally:
        await asyncio.to_thread(recorder.stop)
    assert server.wrong == [], name
    assert recorder.microphone.opened == 1, name
    for command in server.commands.values():
        assert len({str(report["result"]) for report in command.reports}) == 1, name
    (recording,) = server.recordings.values()
    assert recording.is_in, name
    assert len(samples_of(recording.data)) > 0, name


def test_a_recorder_is_started_and_stopped_over_the_air_and_its_sound_comes_back(air: Air, tmp_path: Path) -> None:
    async def story() -> None:
        async with air.open() as place:
            await one_story(place, tmp_path / "whole", "undisturbed")

    told(story())


def test_a_recorder_whose_link_is_lost_at_any_packet_does_nothing_twice(air: Air, tmp_path: Path) -> None:
    async def story() -> None:
        async with air.open() as place:
            assert place.radio is not None
            counting = place.radio.cut_after(None)
            await one_story(place, tmp_path / "whole", "undisturbed")
            for packets in range(0, counting.passed, EVERY[air.mtu]):
                place.radio.cut_after(packets)
                await one_story(place, tmp_path / str(packets), f"lost after packet {packets}")

    told(story())
