"""The gateway and the reference recorder itself: real audio, real grants, links that are cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rolltape.clock import SystemClock
from rolltape.recorder.binding import Binding
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.device_key import DeviceKey
from rolltape.recorder.recorder import Recorder
from rolltape.wire.ids import new_id
from tests.e2e.recorder_rig import peak_hz, samples_of
from tests.relay.memory import MemoryRadio
from tests.relay.town import Town, told, until


def bound(town: Town, state: Path) -> dict[str, Any]:
    """What bind answers for a recorder whose key lies in `state`."""
    state.mkdir()
    public = DeviceKey(state).public
    device = town.web.made("/v1/devices", serial_number=new_id("req", 0), public_key=public)
    return town.web.made(f"/v1/devices/{device['id']}/bind", end_user_id=town.user)


@asynccontextmanager
async def recorder(state: Path, binding: dict[str, Any]) -> AsyncIterator[Recorder]:
    """One that has no network."""
    settings = RecorderSettings(
        binding=msgspec.convert(binding, Binding), state_dir=state, source="lavfi:sine=frequency=600", min_free_mb=1
    )
    one, stop, up = Recorder(settings, SystemClock()), asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(one.run(stop, up.set))
    await up.wait()
    try:
        yield one
    finally:
        stop.set()
        await running


def status(town: Town, device: str, command: str) -> str:
    return str(town.web.call("GET", f"/v1/devices/{device}/commands/{command}").json()["status"])


@pytest.mark.parametrize("cuts", [[], [*range(0, 60, 4)]], ids=["whole", "cut"])
def test_the_reference_recorder_is_commanded_and_its_sound_comes_back(
    town: Town, tmp_path: Path, cuts: list[int | None]
) -> None:
    binding = bound(town, tmp_path / "state")
    device = binding["id"]

    async def story() -> str:
        async with recorder(tmp_path / "state", binding) as one:
            assert one.air is not None
            radio = MemoryRadio(one.air)
            radio.cuts = cuts
            async with town.gateway(radio):
                start = town.web.made(f"/v1/devices/{device}/commands", type="start_recording")["id"]
                await until(lambda: status(town, device, start) == "executed")
                stop = town.web.made(f"/v1/devices/{device}/commands", type="stop_recording")["id"]
                await until(lambda: status(town, device, stop) == "executed")
                found = town.web.call("GET", f"/v1/devices/{device}/commands/{start}").json()
                assert found["delivery"]["evidence"] == "device_signed"
                recording = str(found["result"]["recording_id"])
                await until(lambda: town.recording(recording).get("status") == "uploaded")
                await until(lambda: one.parts is not None and not one.parts.tapes.waiting())
                return recording

    assert abs(peak_hz(samples_of(town.audio(told(story())))) - 600) < 5


def test_the_reference_recorder_acts_on_a_grant_off_line_and_is_shown_the_proof_in_the_same_session(
    town: Town, tmp_path: Path
) -> None:
    binding = bound(town, tmp_path / "state")
    device = binding["id"]

    async def story() -> str:
        async with recorder(tmp_path / "state", binding) as one, town.cable() as cable:
            air, parts = one.air, one.parts
            assert air is not None
            assert parts is not None
            radio = MemoryRadio(air)
            async with town.gateway(radio, server=cable.url) as gateway:
                await until(lambda: parts.trusted.now_ms() is not None)
                radio.around.clear()
                radio.links[-1].cut()
                start = str(town.web.made(f"/v1/devices/{device}/commands", type="start_recording")["id"])
                assert gateway.parts is not None
                grants = gateway.parts.grants
                await until(lambda: grants.of(device))
                await cable.cut()
                radio.around.append(air)
                await until(lambda: [entry.id for entry in parts.journal.untold()] == [start])
                assert status(town, device, start) == "pending"
                links = len(radio.links)
                await cable.mend()
                await until(lambda: not parts.journal.untold())
                assert len(radio.links) == links
                return start

    start = told(story())
    found = town.web.call("GET", f"/v1/devices/{device}/commands/{start}").json()
    assert (found["status"], found["delivery"]["evidence"]) == ("executed", "device_signed")
