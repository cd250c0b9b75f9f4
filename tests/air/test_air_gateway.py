"""The recorder behind the gateway itself, on a real server: from the grant to the proof of the sound."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rolltape.clock import SystemClock
from rolltape.recorder.air.session import Session
from rolltape.recorder.binding import Binding
from rolltape.recorder.ble.link import Link
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.device_key import DeviceKey
from rolltape.recorder.recorder import Recorder
from rolltape.testing.radio import VirtualRadio
from rolltape.testing.recorder import FakeBody, FakeMicrophone
from rolltape.wire.ble.to_device import Grant, ToDevice
from tests.e2e.recorder_rig import samples_of
from tests.relay.memory import MemoryRadio
from tests.relay.test_relay_radio import on_air, virtual
from tests.relay.town import Cable, Town, open_town, told, until


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with open_town(tmp_path) as opened:
        yield opened


class Bound:
    """A recorder of the user, with no connection of its own."""

    def __init__(self, town: Town, *, keyed: bool = True) -> None:
        self.state = town.folder / "state"
        self.state.mkdir(mode=0o700)
        key = {"public_key": DeviceKey(self.state).public} if keyed else {}
        self.device_id = town.web.made("/v1/devices", serial_number="behind-a-relay", **key)["id"]
        bound = town.web.made(f"/v1/devices/{self.device_id}/bind", end_user_id=town.user)
        self.binding = msgspec.convert(bound, Binding)
        self.microphone = FakeMicrophone()

    @asynccontextmanager
    async def on(self) -> AsyncIterator[tuple[Recorder, Session]]:
        """Switched on."""
        settings = RecorderSettings(
            state_dir=self.state, binding=self.binding, backoff_first_sec=0.02, backoff_most_sec=0.3, min_free_mb=5
        )
        recorder = Recorder(settings, SystemClock(), probes=FakeBody(), source=self.microphone)
        stop, up = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(recorder.run(stop, up.set))
        await up.wait()
        try:
            assert recorder.air is not None
            yield recorder, recorder.air
        finally:
            stop.set()
            await running


def read(town: Town, device: Bound, command_id: str) -> dict[str, Any]:
    found: dict[str, Any] = town.web.call("GET", f"/v1/devices/{device.device_id}/commands/{command_id}").json()
    return found


def command(town: Town, device: Bound, type_: str, **body: Any) -> str:
    return str(town.web.made(f"/v1/devices/{device.device_id}/commands", type=type_, **body)["id"])


@pytest.mark.parametrize("mtu", [23, 185, 517])
@pytest.mark.parametrize("keyed", [True, False])
def test_start_stop_and_sound_through_the_gateway(town: Town, mtu: int, keyed: bool) -> None:
    device = Bound(town, keyed=keyed)

    async def story() -> tuple[str, str]:
        async with device.on() as (_, air), town.gateway(MemoryRadio(air, mtu=mtu)):
            start = command(town, device, "start_recording")
            await until(lambda: read(town, device, start)["status"] == "executed")
            stop = command(town, device, "stop_recording")
            await until(lambda: read(town, device, stop)["status"] == "executed" and not air.holds)
            return start, stop

    for done in [read(town, device, id_) for id_ in told(story())]:
        assert done["delivery"]["evidence"] == ("device_signed" if keyed else "relay"), done
        assert done["delivery"]["route"] == "relay"
        recording = done["result"]["recording_id"]
    stored = town.recording(recording)
    sound = town.audio(recording)
    assert (stored["status"], stored["content_sha256"]) == ("uploaded", hashlib.sha256(sound).hexdigest())
    assert len(samples_of(sound)) // 48 == pytest.approx(stored["duration_ms"], abs=1)
    assert device.microphone.opened == 1


def test_the_devices_state_is_known_by_way_of_the_gateway(town: Town) -> None:
    device = Bound(town)
    path = f"/v1/devices/{device.device_id}"

    async def story() -> None:
        async with device.on() as (_, air), town.gateway(MemoryRadio(air)):
            await until(lambda: town.web.call("GET", path).json()["battery_percent"] == 80)

    told(story())
    assert town.web.call("GET", f"{path}/state").json()["last_seen_by"] == "ble"


class LosesItsNetwork:
    """The device, and a relay whose network goes at the moment when it has delivered a grant."""

    def __init__(self, air: Session, cable: Cable) -> None:
        self._air, self._cable = air, cable

    @property
    def device_id(self) -> str:
        return self._air.device_id

    @property
    def holds(self) -> bool:
        return self._air.holds

    async def opened(self, link: Link) -> None:
        await self._air.opened(link)

    async def received(self, message: ToDevice) -> None:
        if isinstance(message, Grant):
            await self._cable.cut()
        await self._air.received(message)

    def closed(self) -> None:
        self._air.closed()


def test_a_relay_without_network_delivers_and_everything_is_told_when_it_is_back(town: Town) -> None:
    device = Bound(town)

    async def story() -> str:
        async with device.on() as (recorder, air), town.cable() as cable:
            assert recorder.parts is not None
            trusted, tapes = recorder.parts.trusted, recorder.parts.tapes
            async with town.gateway(MemoryRadio(LosesItsNetwork(air, cable)), server=cable.url):
                await until(lambda: trusted.now_ms() is not None)
                start = command(town, device, "start_recording", params={"max_duration_sec": 1})
                await until(lambda: tapes.all() != [])
                assert read(town, device, start)["status"] == "pending"
                await cable.mend()
                await until(lambda: read(town, device, start)["status"] == "executed")
                await until(lambda: not (air.holds or tapes.all()))
                return start

    done = read(town, device, told(story()))
    assert town.recording(done["result"]["recording_id"])["status"] == "uploaded"
    assert device.microphone.opened == 1


@pytest.mark.parametrize("cuts", [[2, 5, 9, 14], [1, 3, 7, 20, 33], [11, 12, 13, 40]])
def test_a_link_that_is_cut_again_and_again_loses_nothing_and_doubles_nothing(town: Town, cuts: list[int]) -> None:
    device = Bound(town)

    async def story() -> str:
        async with device.on() as (recorder, air):
            assert recorder.parts is not None
            tapes, radio = recorder.parts.tapes, MemoryRadio(air)
            radio.cuts = list(cuts)
            async with town.gateway(radio):
                start = command(town, device, "start_recording", params={"max_duration_sec": 1})
                await until(lambda: read(town, device, start)["status"] == "executed" and not air.holds)
                await until(lambda: not (radio.cuts or air.holds or tapes.all()))
                return start

    done = read(town, device, told(story()))
    assert town.recording(done["result"]["recording_id"])["duration_ms"] == 1000
    assert device.microphone.opened == 1


def test_a_power_cut_between_sessions_forgets_nothing(town: Town) -> None:
    device = Bound(town)

    async def story() -> str:
        async with device.on() as (recorder, air), town.gateway(MemoryRadio(air)):
            start = command(town, device, "start_recording")
            await until(lambda: read(town, device, start)["status"] == "executed")
        async with device.on() as (recorder, air):
            assert recorder.parts is not None
            assert recorder.parts.studio.running is None
            assert air.holds
            async with town.gateway(MemoryRadio(air)):
                await until(lambda: not air.holds)
        return start

    done = read(town, device, told(story()))
    assert town.recording(done["result"]["recording_id"])["status"] == "uploaded"
    assert device.microphone.opened == 1


def test_over_a_virtual_radio_with_a_real_bleak_client_the_story_is_the_same(town: Town) -> None:
    device = Bound(town)

    async def story() -> str:
        air = VirtualRadio()
        async with device.on() as (recorder, session), virtual(air, 185) as radio, on_air(air, session):
            assert recorder.parts is not None
            tapes = recorder.parts.tapes
            async with town.gateway(radio):
                start = command(town, device, "start_recording", params={"max_duration_sec": 1})
                await until(lambda: read(town, device, start)["status"] == "executed")
                await until(lambda: not (session.holds or tapes.all()))
                return start

    done = read(town, device, told(story()))
    assert done["delivery"]["evidence"] == "device_signed"
    assert len(samples_of(town.audio(done["result"]["recording_id"]))) == 48_000
