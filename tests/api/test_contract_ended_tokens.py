"""A token after its binding: for eight days it finishes its own story, and is good for nothing else."""

from collections.abc import Callable, Iterator

import pytest

from rolltape.codes import Code
from rolltape.wire.times import iso
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract
from tests.api.web_world import STORES, is_refused

DAY = 86_400


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


def unbind(device: BoundDevice) -> None:
    assert device.unbind(force=True).status_code == 200


def delete(device: BoundDevice) -> None:
    assert device.world.call("DELETE", f"{device.path}?force=true").status_code == 204


def reset(device: BoundDevice) -> None:
    made = device.world.web.made(f"{device.path}/reset")
    assert device.report(made["id"]).status_code == 200


ENDINGS = pytest.mark.parametrize("end", [unbind, delete, reset])


@ENDINGS
def test_its_ack_is_always_no_go(world: ContractWorld, end: Callable[[BoundDevice], None]) -> None:
    device = world.device()
    taken, waiting, done = (device.command()["id"] for _ in range(3))
    device.ack(taken)
    device.report(done)
    end(device)
    for id_, status in ((taken, "cancelled"), (waiting, "cancelled"), (done, "executed")):
        answer = device.ack(id_)
        assert is_refused(answer, 409, Code.COMMAND_NO_GO)
        assert answer.json()["error"]["details"]["status"] == status


@ENDINGS
def test_its_report_lands(world: ContractWorld, end: Callable[[BoundDevice], None]) -> None:
    device = world.device()
    command = device.command()["id"]
    device.ack(command)
    end(device)
    answer = device.report(command, result={"recording_id": "rec_1"})
    assert (answer.status_code, answer.json()["status"]) == (200, "executed")
    assert device.history(command)[-1]["previous_status"] == "cancelled"
    assert is_refused(device.report(command, status="failed"), 409, Code.RESULT_CONFLICT)


@ENDINGS
def test_a_recording_begun_under_it_is_still_taken(world: ContractWorld, end: Callable[[BoundDevice], None]) -> None:
    device = world.device()
    end(device)
    body = {"id": "rec_" + device.id[4:], "started_at": iso(world.clock.now_ms()), "binding_generation": 1}
    made = world.call("POST", "/v1/recordings", device.token, json=body)
    assert made.status_code == 201, made.text
    assert made.json()["end_user_id"] == device.user
    path = f"/v1/recordings/{made.json()['id']}/upload-url"
    assert world.call("POST", path, device.token, json={"content_type": "audio/ogg"}).status_code == 201


@ENDINGS
def test_all_else_is_401_token_revoked(world: ContractWorld, end: Callable[[BoundDevice], None]) -> None:
    device = world.device()
    end(device)
    for method, path in [
        ("POST", "/v1/devices/me/heartbeat"),
        ("GET", "/v1/devices/me/commands/pending"),
        ("GET", "/v1/devices/me/commands/pending?wait=60"),
        ("POST", "/v1/devices/me/token/refresh"),
        ("GET", device.path),
        ("GET", f"{device.path}/commands"),
        ("POST", f"{device.path}/commands"),
        ("GET", "/v1/recordings"),
        ("POST", f"{device.path}/bind"),
    ]:
        assert is_refused(world.call(method, path, device.token), 401, Code.TOKEN_REVOKED), path


def test_another_generations_command_is_not_there_for_it(world: ContractWorld) -> None:
    device = world.device()
    old, first = device.token, device.command()["id"]
    device.unbind()
    device.bind()
    second = device.command()["id"]
    for token, command in ((old, second), (device.token, first)):
        assert is_refused(device.ack(command, token), 404, Code.NOT_FOUND)
        assert is_refused(device.report(command, token), 404, Code.NOT_FOUND)
    assert [device.read(id_)["status"] for id_ in (first, second)] == ["cancelled", "pending"]
    assert device.report(first, old).status_code == 200
    assert device.heartbeat(acks=[first], results=[{"id": first, "status": "executed"}])["acks"] == [
        {"id": first, "go": False, "status": None}
    ]


def test_after_eight_days_it_is_good_for_nothing(world: ContractWorld) -> None:
    device = world.device()
    command = device.command(ttl_seconds=604_800)["id"]
    device.unbind()
    world.pass_time(8 * DAY - 1)
    assert is_refused(device.ack(command), 409, Code.COMMAND_NO_GO)
    world.pass_time(1)
    assert is_refused(device.report(command), 401, Code.TOKEN_REVOKED)
    assert is_refused(device.ack(command), 401, Code.TOKEN_REVOKED)
    assert device.read(command)["status"] == "cancelled"


def test_a_late_start_of_an_ended_binding_does_not_hold_the_next_one(world: ContractWorld) -> None:
    device = world.device()
    old, start = device.token, device.command()["id"]
    device.ack(start)
    unbind(device)
    device.bind()
    assert device.report(start, old, result={"recording_id": "rec_old"}).status_code == 200
    assert world.get(f"{device.path}/state")["recording"]["active"] is not True
    assert device.unbind().status_code == 200


def test_a_poll_that_is_held_comes_back_when_the_binding_ends(world: ContractWorld) -> None:
    device = world.device()
    held = device.hold_poll()
    assert device.unbind().status_code == 200
    assert held.result(10).json()["commands"] == []
    assert is_refused(world.call("GET", "/v1/devices/me/commands/pending", device.token), 401, Code.TOKEN_REVOKED)
