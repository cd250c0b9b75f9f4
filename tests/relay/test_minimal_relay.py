"""examples/minimal_relay.py, which a phone's developer reads first, does all that it says."""

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import httpx2

from rolltape.testing.radio import VirtualRadio
from tests.relay.test_relay_radio import on_air, one_round
from tests.relay.town import Town, told

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
