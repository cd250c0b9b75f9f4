"""What an operator, a backend and a device see of age: what goes, what stays, and what is said of what has gone."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rolltape.config import BadSetting, Settings
from rolltape.testing.clock import ManualClock
from rolltape.wire.times import iso
from rolltape.workers.retention import COMMANDS, REST, Retention
from tests.api.contract_world import ContractWorld, open_contract
from tests.api.web_world import NODES

DAY = 86_400


@pytest.fixture(params=NODES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ContractWorld]:
    with open_contract(tmp_path, store=request.param) as world:
        yield world


def age(world: ContractWorld, days: int | None = None) -> int:
    """Lets go of what has aged, by another setting if one is given; how much."""
    app = world.web.app
    if days is not None:
        app = replace(app, config=replace(app.config, retention_days=days))
    return world.web.run(Retention().run_once(app, world.clock.now_ms()))


def test_a_closed_command_goes_after_90_days_and_not_a_moment_sooner(world: ContractWorld) -> None:
    device = world.device()
    command = device.command(ttl_seconds=60)
    world.clock.advance(60 + 90 * DAY - 0.001)
    world.expire()
    recent = device.command()["id"]
    age(world)
    assert device.story(command["id"]) == ["created", "expired"]
    world.clock.advance(0.001)
    age(world)
    assert world.call("GET", f"{device.path}/commands/{command['id']}").status_code == 404
    assert world.call("GET", f"{device.path}/commands/{command['id']}/events").status_code == 404
    assert [row["id"] for row in world.get(f"{device.path}/commands")["data"]] == [recent]
    assert world.get("/v1/devices/stats")["open_command_count"] == 1
    assert [row["id"] for row in world.all_events("command.created")] == [recent]


def test_nothing_goes_where_nothing_ages(world: ContractWorld) -> None:
    command = (device := world.device()).command(ttl_seconds=60)
    world.clock.advance(3650 * DAY)
    world.expire()
    assert age(world, days=0) == 0
    assert device.read(command["id"])["status"] == "expired"


def test_a_device_that_tells_of_what_has_gone_hears_that_there_is_none_and_stops_telling(world: ContractWorld) -> None:
    device = world.device()
    command = device.command(ttl_seconds=60)["id"]
    world.clock.advance(100 * DAY)
    world.expire()
    age(world)
    beat = device.heartbeat(acks=[command], results=[{"id": command, "status": "executed"}])
    assert beat["acks"] == [{"id": command, "go": False, "status": None}]
    (result,) = beat["results"]
    assert (result["ok"], result["status"], result["error"]["code"]) == (False, None, "not_found")
    assert device.report(command).status_code == 404


def test_a_recording_outlives_its_command_and_one_that_comes_late_is_taken(world: ContractWorld) -> None:
    device = world.device()
    command = device.command(params={"metadata": {"visit": 7}})["id"]
    began = {"command_id": command, "started_at": iso(world.clock.now_ms())}
    soon = world.call("POST", "/v1/recordings", device.token, json=began).json()["id"]
    device.report(command, result={"recording_id": soon})
    world.clock.advance(100 * DAY)
    age(world)
    late = world.call("POST", "/v1/recordings", device.token, json=began)
    assert late.status_code == 201, late.text
    found = world.get(f"/v1/recordings?command_id={command}")["data"]
    assert [row["id"] for row in found] == [late.json()["id"], soon]
    assert found[1]["metadata"] == {"visit": 7}
    assert [row["end_user_id"] for row in found] == [device.user] * 2
    made_up = world.call("POST", "/v1/recordings", device.token, json=began | {"command_id": "cmd_zzz"})
    assert made_up.status_code == 404


def test_a_token_whose_binding_is_over_is_told_so_until_it_has_aged(world: ContractWorld) -> None:
    device = world.device()
    device.unbind()
    for days, code in ((90, "token_revoked"), (1, "unauthorized")):
        world.clock.advance(days * DAY - 1)
        age(world)
        answer = world.call("POST", "/v1/devices/me/heartbeat", device.token, json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)


class _Laborious(ManualClock):
    """A clock on which each batch takes 0.1 s."""

    def __init__(self, now_ms: int) -> None:
        super().__init__(now_ms)
        self.slept: list[float] = []

    def monotonic(self) -> float:
        self._elapsed += 0.1
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        await asyncio.sleep(0)


def test_it_rests_after_each_batch_so_that_other_work_has_its_turn(world: ContractWorld) -> None:
    device = world.device()
    for _ in range(COMMANDS + 1):
        device.command("stop_recording", ttl_seconds=1)
    world.clock.advance(1 + 90 * DAY - 0.5)
    world.expire()
    clock = _Laborious(world.clock.now_ms() + 500)
    app = replace(world.web.app, clock=clock)
    registered_and_bound = 2
    assert world.web.run(Retention().run_once(app, clock.now_ms())) == COMMANDS + 1 + registered_and_bound
    assert clock.slept == [round(0.1 * REST, 3)] * 3


@pytest.mark.parametrize("days", ["1", "29", "-1", "36501", "a"])
def test_no_setting_lets_go_of_an_idempotency_key_before_its_time(days: str) -> None:
    with pytest.raises(BadSetting, match="0, or a whole number from 30 to 36500"):
        Settings.from_env({"ROLLTAPE_RETENTION_DAYS": days})


def test_the_least_is_30_days_and_an_idempotency_key_lasts_as_long(world: ContractWorld) -> None:
    assert Settings.from_env({"ROLLTAPE_RETENTION_DAYS": "30"}).retention_days == 30
    device = world.device()
    command = device.command(ttl_seconds=1, idempotency_key="k")["id"]
    world.clock.advance(30 * DAY)
    world.expire()
    age(world, days=30)
    again = world.call(
        "POST",
        f"{device.path}/commands",
        json={"type": "start_recording", "ttl_seconds": 1, "idempotency_key": "k"},
    )
    assert (again.status_code, again.json()["id"]) == (200, command)
