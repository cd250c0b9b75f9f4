"""A server believes a device's token for an hour; but from the moment that its binding ends, never again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rolltape.config import Settings
from rolltape.testing.clock import ManualClock
from rolltape.web.app import build_app
from rolltape.wiring.admin import admin_create_key
from rolltape.wiring.build import TOKEN_SECONDS, close_services, open_services
from rolltape.workers.expiry import Expiry

WEEK = 7 * 86_400


class World:
    """A server as `rolltape serve` builds it, on a clock that stands still, and one bound device."""

    def __init__(self, http: httpx2.AsyncClient, key: str, clock: ManualClock, expire: Callable[[], Awaitable[int]]):
        self.http, self.key, self.clock, self.expire = http, key, clock, expire
        self.device_id = self.token = self.user = ""

    async def call(self, method: str, path: str, credential: str, **parts: Any) -> httpx2.Response:
        return await self.http.request(method, path, headers={"Authorization": f"Bearer {credential}"}, **parts)

    async def bind(self) -> None:
        device = await self.call("POST", "/v1/devices", self.key, json={"serial_number": "sn"})
        user = await self.call("POST", "/v1/end-users", self.key, json={"external_id": "u"})
        self.device_id, self.user = device.json()["id"], user.json()["id"]
        path = f"/v1/devices/{self.device_id}/bind"
        self.token = (await self.call("POST", path, self.key, json={"end_user_id": self.user})).json()["device_token"]

    async def beat(self) -> int:
        return (await self.call("POST", "/v1/devices/me/heartbeat", self.token, json={})).status_code

    async def reset(self) -> str:
        path = f"/v1/devices/{self.device_id}/reset"
        command: str = (await self.call("POST", path, self.key)).json()["id"]
        ack = await self.call("POST", f"/v1/devices/me/commands/{command}/ack", self.token)
        assert ack.status_code == 200
        return command


async def unbound(world: World) -> None:
    answer = await world.call("POST", f"/v1/devices/{world.device_id}/unbind", world.key)
    assert answer.status_code == 200


async def deleted(world: World) -> None:
    assert (await world.call("DELETE", f"/v1/devices/{world.device_id}", world.key)).status_code == 204


async def end_user_deleted(world: World) -> None:
    assert (await world.call("DELETE", f"/v1/end-users/{world.user}", world.key)).status_code == 204


async def reset_and_reported(world: World) -> None:
    path = f"/v1/devices/me/commands/{await world.reset()}/report"
    assert (await world.call("POST", path, world.token, json={"status": "executed"})).status_code == 200


async def reset_and_expired(world: World) -> None:
    await world.reset()
    world.clock.step_wall(WEEK + 1)  # no time goes by for what is believed
    assert await world.expire() == 1


async def reset_and_expired_by_the_next_write(world: World) -> None:
    await world.reset()
    world.clock.step_wall(WEEK + 1)
    await world.call("POST", f"/v1/devices/{world.device_id}/commands", world.key, json={"type": "stop_recording"})


ENDS = (unbound, deleted, end_user_deleted, reset_and_reported, reset_and_expired, reset_and_expired_by_the_next_write)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_a_believed_token_is_refused_from_the_end_of_its_binding_on(
    tmp_path: Path, end: Callable[[World], Awaitable[None]]
) -> None:
    async def story() -> None:
        key = admin_create_key(tmp_path / "data", "test", None, None, None)["key"]
        clock = ManualClock()
        app = await open_services(Settings(data=tmp_path / "data", key_rate=0, device_rate=0), clock)
        transport = httpx2.ASGITransport(build_app(app))
        async with httpx2.AsyncClient(transport=transport, base_url="http://server") as http:
            world = World(http, key, clock, lambda: Expiry().run_once(app, clock.now_ms()))
            await world.bind()
            assert await world.beat() == 200
            clock.advance(TOKEN_SECONDS / 2)
            assert await world.beat() == 200
            await end(world)
            assert await world.beat() == 401
        await close_services(app)

    asyncio.run(story())
