"""Two things at once: what ends while something else is on its way, and what comes late."""

import asyncio
from collections.abc import Iterator

import pytest

from rolltape.codes import Code, Problem
from rolltape.domain.principal import DevicePrincipal
from rolltape.service import bindings
from rolltape.service.auth import authenticate
from rolltape.wire.times import iso, parse
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract
from tests.api.web_world import STORES, is_refused


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


def test_a_token_that_is_first_used_while_its_binding_ends_is_an_ended_token(
    world: ContractWorld, device: BoundDevice
) -> None:
    app, now = world.web.app, world.clock.now_ms()
    key = world.web.run(authenticate(app, world.web.key, now))

    async def both() -> bool:
        ending = asyncio.ensure_future(
            bindings.unbind_device(app, key, device.id, force=True, now=now)  # type: ignore[arg-type]
        )
        await asyncio.sleep(0)
        await asyncio.gather(ending, authenticate(app, device.token, now))
        who = await authenticate(app, device.token, now)
        return isinstance(who, DevicePrincipal) and who.ended

    assert world.web.run(both())


def test_a_refresh_that_comes_after_the_end_of_the_binding_gives_no_token(
    world: ContractWorld, device: BoundDevice
) -> None:
    app, now = world.web.app, world.clock.now_ms()
    device.heartbeat()
    who = world.web.run(authenticate(app, device.token, now))
    assert isinstance(who, DevicePrincipal)
    device.unbind()
    with pytest.raises(Problem) as refused:
        world.web.run(bindings.refresh_token(app, who, now=now))
    assert refused.value.code == Code.TOKEN_REVOKED


def test_a_poll_that_waits_signs_with_the_keys_that_the_device_holds_by_then(
    world: ContractWorld, device: BoundDevice
) -> None:
    held = world.web.run(_held_kids(world, device))
    assert held == device.bound["grant_keys"]["keys"][0]["kid"]
    answer = device.hold_poll()
    device.heartbeat(grant_kids=[])
    command = device.command()
    offers = answer.result(20).json()["commands"]
    assert [offer["id"] for offer in offers] == [command["id"]]


async def _held_kids(world: ContractWorld, device: BoundDevice) -> str:
    key = await authenticate(world.web.app, world.web.key, world.clock.now_ms())
    facts = await world.web.app.store.device_facts(key.tenant.n, device.id)
    return facts.held_kids.strip('[]"')


def test_a_recording_that_a_heartbeat_calls_remote_only_later_still_ends_by_its_longest_time(
    world: ContractWorld, device: BoundDevice
) -> None:
    device.heartbeat(recording={"recording_id": "rec_x"})
    world.write_states()
    device.heartbeat(recording={"recording_id": "rec_x", "initiated_by": "remote"})
    assert is_refused(device.unbind(), 409, Code.DEVICE_RECORDING)
    world.pass_time(86_400)
    assert device.unbind().status_code == 200


def test_a_start_that_is_reported_late_does_not_hide_the_recording_that_runs(
    world: ContractWorld, device: BoundDevice
) -> None:
    older = device.command(params={"max_duration_sec": 1})
    newer = device.command()
    began = iso(world.clock.now_ms())
    device.report(newer["id"], result={"recording_id": "rec_newer", "started_at": began})
    device.report(older["id"], result={"recording_id": "rec_older", "started_at": began})
    world.pass_time(2)
    assert world.get(f"{device.path}/state")["recording"]["recording_id"] == "rec_newer"
    assert is_refused(device.unbind(), 409, Code.DEVICE_RECORDING)


def test_a_start_that_was_obeyed_after_a_newer_one_was_over_runs(world: ContractWorld, device: BoundDevice) -> None:
    older = device.command()
    newer = device.command(params={"max_duration_sec": 1})
    device.report(newer["id"], result={"recording_id": "rec_newer"})
    world.pass_time(2)
    device.report(older["id"], result={"recording_id": "rec_older"})
    assert is_refused(device.unbind(), 409, Code.DEVICE_RECORDING)


def test_a_stop_of_an_ended_binding_ends_no_recording_of_the_next(world: ContractWorld, device: BoundDevice) -> None:
    old, stop = device.token, device.command("stop_recording")
    device.unbind(force=True)
    device.bind()
    start = device.command()
    device.report(start["id"], result={"recording_id": "rec_next", "started_at": iso(world.clock.now_ms())})
    assert device.report(stop["id"], old).status_code == 200
    assert is_refused(device.unbind(), 409, Code.DEVICE_RECORDING)


def test_a_clock_that_was_set_back_does_not_freeze_what_a_device_says(
    world: ContractWorld, device: BoundDevice
) -> None:
    later = iso(world.clock.now_ms() + 10 * 365 * 86_400_000)

    async def as_if_heard_then() -> None:
        await world.web.app.store._at.write(  # type: ignore[attr-defined]
            lambda db: db.run(
                "UPDATE device_states SET rec_active = 1, rec_id = 'rec_x', rec_as_of = ?, online_until = ?, online = 1"
                " WHERE device_id = ?",
                (parse(later), parse(later), device.id),
            )
        )

    world.web.run(as_if_heard_then())
    device.heartbeat(recording=None)
    state = world.get(f"{device.path}/state")
    assert (state["online"], state["recording"]["active"]) == (True, False)
    world.pass_time(3 * 86_400)
    assert world.get(device.path)["online"] is False


def test_refreshing_a_token_gives_no_fresh_burst(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_contract(tmp_path_factory.mktemp("limited"), device_rate=1) as world:
        device = world.device()
        for _ in range(9):
            device.heartbeat()
        token = world.call("POST", "/v1/devices/me/token/refresh", device.token).json()["device_token"]
        answer = world.call("POST", "/v1/devices/me/heartbeat", token)
        assert is_refused(answer, 429, Code.RATE_LIMIT_EXCEEDED)
        world.pass_time(1)
        assert world.call("POST", "/v1/devices/me/heartbeat", token).status_code == 200


def test_a_recording_without_a_named_user_belongs_to_who_was_bound_when_it_began(world: ContractWorld) -> None:
    device = world.device()
    first, began = device.user, iso(world.clock.now_ms())
    world.pass_time(60)
    device.unbind()
    world.pass_time(60)
    device.user = world.web.made("/v1/end-users", external_id=f"second-{device.id}")["id"]
    device.bind()
    for started_at, user in ((began, first), (iso(world.clock.now_ms()), device.user)):
        recording = world.web.made("/v1/recordings", device_id=device.id, started_at=started_at)
        assert recording["end_user_id"] == user
    world.call("DELETE", f"/v1/end-users/{first}")
    answer = world.call("POST", "/v1/recordings", json={"device_id": device.id, "started_at": began})
    assert is_refused(answer, 404, Code.NOT_FOUND, "end_user_id")


def test_a_deleted_recordings_id_says_so(world: ContractWorld, device: BoundDevice) -> None:
    body = {"id": "rec_" + "d" * 22, "started_at": iso(world.clock.now_ms())}
    assert world.call("POST", "/v1/recordings", device.token, json=body).status_code == 201
    assert world.call("DELETE", f"/v1/recordings/{body['id']}").status_code == 204
    answer = world.call("POST", "/v1/recordings", device.token, json=body)
    assert is_refused(answer, 409, Code.ID_CONFLICT, "id")
    assert answer.json()["error"]["details"] == {"status": "deleted"}
