"""examples/minimal_relay.py, which a phone's developer reads first, does all that it says."""

import asyncio
import importlib.util
import runpy
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rolltape.testing.radio import VirtualRadio
from tests.e2e.recorder_rig import peak_hz, samples_of
from tests.relay.test_relay_radio import on_air, one_round
from tests.relay.test_relay_recorder import bound, recorder, status
from tests.relay.town import Town, told, until

EXAMPLE = Path(__file__).parents[2] / "examples" / "minimal_relay.py"


def example() -> Any:
    spec = importlib.util.spec_from_file_location("minimal_relay", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_has_at_most_sixty_lines() -> None:
    assert sum(bool(line.strip()) for line in EXAMPLE.read_text().splitlines()) <= 60


@pytest.mark.parametrize("given", [[], ["https://rolltape.example.com"], ["a", "b", "c"]])
def test_it_says_what_it_takes(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *given])
    with pytest.raises(SystemExit, match=r"^usage: .*minimal_relay.py https://.* rtok_"):
        runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_it_carries_a_start_a_stop_and_the_recording(town: Town) -> None:
    device = town.dictaphone(needs_encryption=True)

    async def story() -> tuple[str, str]:
        air = VirtualRadio()
        bearer = {"Authorization": f"Bearer {town.token()}"}
        async with (
            httpx2.AsyncClient(base_url=town.web.base_url, headers=bearer, timeout=30) as http,
            air.adapter(mtu=185) as adapter,
            on_air(air, device),
        ):
            backends = {"backend": adapter.scanner}, {"backend": adapter.client}
            running = asyncio.create_task(example().relay(http, *backends))
            commands = await one_round(town, device)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return commands

    start, stop = told(story())
    for command in (start, stop):
        assert town.read(device, command)["delivery"]["evidence"] == "device_signed"
    assert town.audio(town.read(device, start)["result"]["recording_id"]) == device.sound


def test_it_carries_for_the_reference_recorder_too(town: Town, tmp_path: Path) -> None:
    binding = bound(town, tmp_path / "state")
    path = f"/v1/devices/{binding['id']}/commands"

    async def story() -> str:
        air = VirtualRadio()
        bearer = {"Authorization": f"Bearer {town.token()}"}
        async with (
            recorder(tmp_path / "state", binding) as one,
            httpx2.AsyncClient(base_url=town.web.base_url, headers=bearer, timeout=30) as http,
            air.adapter(mtu=185) as adapter,
        ):
            assert one.air is not None
            assert one.parts is not None
            tapes = one.parts.tapes
            async with on_air(air, one.air):
                running = asyncio.create_task(
                    example().relay(http, {"backend": adapter.scanner}, {"backend": adapter.client})
                )
                start = str(town.web.made(path, type="start_recording")["id"])
                await until(lambda: status(town, binding["id"], start) == "executed")
                stop = str(town.web.made(path, type="stop_recording")["id"])
                await until(lambda: status(town, binding["id"], stop) == "executed" and not tapes.waiting())
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                return start

    start = told(story())
    found = town.web.call("GET", f"{path}/{start}").json()
    assert found["delivery"]["evidence"] == "device_signed"
    assert abs(peak_hz(samples_of(town.audio(found["result"]["recording_id"]))) - 600) < 5
