"""Bind, unbind, reset, and the tokens that come of them: each row, and what a token may still do after its binding."""

import re
from collections.abc import Iterator

import pytest

from rolltape.codes import Code
from rolltape.wire.times import iso
from tests.api.contract_world import BoundDevice, ContractWorld, claims, open_contract, seconds_between
from tests.api.web_world import STORES, is_refused

DAY = 86_400


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


def test_bind_answers_the_device_with_its_token_and_the_keys_of_its_grants(
    world: ContractWorld, device: BoundDevice
) -> None:
    bound = device.bound
    assert (bound["status"], bound["end_user_id"], bound["binding_generation"]) == ("bound", device.user, 1)
    assert re.fullmatch(r"dtok_[A-Za-z0-9_-]{43}", bound["device_token"])
    assert re.fullmatch(r"[0-9a-f]{16}", bound["grant_iss"])
    assert "grant_kid" not in bound
    assert "grant_secret" not in bound
    published = world.call("GET", "/.well-known/jwks.json", "").json()
    assert bound["grant_keys"]["keys"] == published["keys"]
    plain = world.get(device.path)
    assert not {"device_token", "grant_iss", "grant_keys"} & set(plain)
    assert len(world.all_events("device.bound", device.id)) == 1


def test_an_hs256_device_gets_a_secret_of_32_bytes_new_with_each_generation(world: ContractWorld) -> None:
    device = world.device(grant_alg="HS256")
    first = device.bound
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", first["grant_secret"])
    assert "grant_keys" not in first
    again = device.bind()
    assert (again["grant_kid"], again["grant_secret"]) == (first["grant_kid"], first["grant_secret"])
    device.unbind()
    later = device.bind()
    assert later["grant_secret"] != first["grant_secret"]
    assert later["grant_kid"] != first["grant_kid"]


def test_bound_again_to_the_same_user_only_the_token_is_fresh(world: ContractWorld, device: BoundDevice) -> None:
    command = device.command()
    old = device.token
    again = device.bind()
    assert again["device_token"] != old
    assert again["binding_generation"] == 1
    assert device.read(command["id"]) == command
    assert len(world.all_events("device.bound", device.id)) == 1
    assert world.call("POST", "/v1/devices/me/heartbeat", old).status_code == 200
    assert device.heartbeat()["binding_generation"] == 1
    assert is_refused(world.call("POST", "/v1/devices/me/heartbeat", old), 401, Code.UNAUTHORIZED)


def test_bound_to_another_user_is_409_and_to_nobody_404(world: ContractWorld, device: BoundDevice) -> None:
    other = world.web.made("/v1/end-users", external_id=f"other-{device.id}")["id"]
    answer = world.call("POST", f"{device.path}/bind", json={"end_user_id": other})
    assert is_refused(answer, 409, Code.DEVICE_ALREADY_BOUND)
    assert answer.json()["error"]["details"]["status"] == "bound"
    for nobody in ("eu_nobody", device.id, "x"):
        answer = world.call("POST", f"{device.path}/bind", json={"end_user_id": nobody})
        assert is_refused(answer, 404, Code.NOT_FOUND, "end_user_id")
    assert world.get(device.path)["end_user_id"] == device.user


def test_pk_d_is_128_hex_digits(world: ContractWorld, device: BoundDevice) -> None:
    body = {"end_user_id": device.user}
    for bad in ("ab" * 63, "ab" * 65, "g" * 128, "", 5):
        answer = world.call("POST", f"{device.path}/bind", json={**body, "pk_d": bad})
        assert is_refused(answer, 400, Code.INVALID_REQUEST, "pk_d")
    assert world.call("POST", f"{device.path}/bind", json={**body, "pk_d": "aB" * 64}).status_code == 200
    assert is_refused(world.call("POST", f"{device.path}/bind", json={}), 400, Code.INVALID_REQUEST, "end_user_id")


def test_unbind_cancels_what_is_open_and_twice_is_a_no_op(world: ContractWorld, device: BoundDevice) -> None:
    waiting, taken = device.command()["id"], device.command()["id"]
    assert device.ack(taken).status_code == 200
    answer = world.call("POST", f"{device.path}/unbind")
    assert answer.status_code == 200
    after = answer.json()
    assert (after["status"], after["end_user_id"], after["binding_generation"]) == ("unbound", None, 1)
    assert device.story(waiting) == ["created", "cancelled"]
    assert device.story(taken) == ["created", "delivered", "cancelled"]
    assert device.history(taken)[-1]["previous_status"] == "delivered"
    assert device.unbind().json() == after
    assert len(world.all_events("device.unbound", device.id)) == 1
    assert device.bind()["binding_generation"] == 2


def test_an_executed_start_keeps_the_device_bound_until_its_stop(world: ContractWorld, device: BoundDevice) -> None:
    device.report(device.command()["id"], result={"recording_id": "rec_1"})
    answer = device.unbind()
    assert is_refused(answer, 409, Code.DEVICE_RECORDING)
    assert answer.json()["error"]["details"]["status"] == "bound"
    stop = device.command("stop_recording")["id"]
    device.report(stop, status="failed", error={"code": "internal", "message": "stuck"})
    assert device.unbind().status_code == 409
    stop = device.command("stop_recording")["id"]
    device.report(stop, result={"recording_id": "rec_1", "duration_ms": 5})
    assert device.unbind().status_code == 200


@pytest.mark.parametrize("status", ["pending", "delivered"])
def test_an_open_stop_keeps_the_device_bound_until_it_expires(device: BoundDevice, status: str) -> None:
    stop = device.command("stop_recording", ttl_seconds=5)["id"]
    if status == "delivered":
        device.ack(stop)
    assert is_refused(device.unbind(), 409, Code.DEVICE_RECORDING)
    device.world.pass_time(5)
    assert device.unbind().status_code == 200
    assert device.story(stop)[-1] == "expired"


def test_a_stop_that_found_nothing_to_stop_lets_the_device_go(device: BoundDevice) -> None:
    device.report(device.command()["id"], result={"recording_id": "rec_1"})
    stop = device.command("stop_recording")["id"]
    device.report(stop, status="failed", error={"code": "not_recording", "message": ""})
    assert device.unbind().status_code == 200


def test_a_heartbeat_that_names_a_remote_recording_keeps_the_device_bound(device: BoundDevice) -> None:
    device.heartbeat(recording={"recording_id": "rec_1", "initiated_by": "remote"})
    assert is_refused(device.unbind(), 409, Code.DEVICE_RECORDING)
    device.heartbeat(recording={"recording_id": "rec_1"})
    assert is_refused(device.unbind(), 409, Code.DEVICE_RECORDING)
    device.heartbeat(recording=None)
    assert device.unbind().status_code == 200


def test_a_heartbeat_without_who_began_it_leaves_a_remote_recording_remote(device: BoundDevice) -> None:
    device.report(device.command()["id"])
    device.heartbeat(recording={"recording_id": "rec_of_its_own"})
    assert is_refused(device.unbind(), 409, Code.DEVICE_RECORDING)


def test_a_local_recording_does_not_keep_the_device_bound(device: BoundDevice) -> None:
    device.heartbeat(recording={"recording_id": "rec_1", "initiated_by": "local"})
    assert device.unbind().status_code == 200


def test_a_recording_that_has_ended_or_had_its_longest_time_lets_the_device_go(world: ContractWorld) -> None:
    ended, long = world.device(), world.device()
    id_ = "rec_" + "e" * 22
    for device in (ended, long):
        start = device.command(params={"max_duration_sec": 60})["id"]
        device.report(start, result={"recording_id": id_})
        assert device.unbind().status_code == 409
    body = {"id": id_, "started_at": iso(world.clock.now_ms()), "ended_at": iso(world.clock.now_ms() + 1000)}
    answer = world.call("POST", "/v1/recordings", ended.token, json=body)
    assert answer.status_code == 201
    assert ended.unbind().status_code == 200
    world.pass_time(59)
    assert long.unbind().status_code == 409
    world.pass_time(1)
    assert long.unbind().status_code == 200


def test_force_unbinds_whatever_runs(device: BoundDevice) -> None:
    device.report(device.command()["id"], result={"recording_id": "rec_1"})
    stop = device.command("stop_recording")["id"]
    assert device.unbind(force=True).status_code == 200
    assert device.read(stop)["status"] == "cancelled"


def test_a_reset_is_a_command_that_cancels_all_others_and_keeps_the_generation(device: BoundDevice) -> None:
    world, open_ = device.world, [device.command(type_)["id"] for type_ in ("trigger_upload", "stop_recording")]
    answer = world.call("POST", f"{device.path}/reset")
    reset = answer.json()
    assert (answer.status_code, reset["type"], reset["status"], reset["params"]) == (
        201,
        "factory_reset",
        "pending",
        {},
    )
    assert seconds_between(reset["created_at"], reset["expires_at"]) == 7 * DAY
    assert claims(reset["grant_token"])["type"] == "factory_reset"
    assert [device.read(id_)["status"] for id_ in open_] == ["cancelled"] * 2
    again = world.call("POST", f"{device.path}/reset", json={"force": False})
    assert (again.status_code, again.json()["id"]) == (200, reset["id"])
    assert world.get(device.path)["binding_generation"] == 1


def test_a_reset_of_an_unbound_device_is_409(device: BoundDevice) -> None:
    device.unbind()
    answer = device.world.call("POST", f"{device.path}/reset")
    assert is_refused(answer, 409, Code.DEVICE_NOT_BOUND)
    assert answer.json()["error"]["details"]["status"] == "unbound"


def test_a_reset_by_force_unbinds_at_once(device: BoundDevice) -> None:
    device.report(device.command()["id"], result={"recording_id": "rec_1"})
    answer = device.world.call("POST", f"{device.path}/reset", json={"force": True})
    assert (answer.status_code, answer.json()["id"], answer.json()["status"]) == (200, device.id, "unbound")


def test_an_executed_reset_unbinds_and_may_be_reported_again(device: BoundDevice) -> None:
    world = device.world
    reset = world.web.made(f"{device.path}/reset")["id"]
    waiting = device.command()["id"]
    assert device.ack(reset).json() == {"go": True, "status": "delivered"}
    assert device.report(reset).json()["status"] == "executed"
    assert world.get(device.path)["status"] == "unbound"
    assert device.read(waiting)["status"] == "cancelled"
    assert device.report(reset).status_code == 200
    assert is_refused(world.call("POST", "/v1/devices/me/heartbeat", device.token), 401, Code.TOKEN_REVOKED)


def test_a_failed_reset_unbinds_nobody(device: BoundDevice) -> None:
    reset = device.world.web.made(f"{device.path}/reset")["id"]
    device.report(reset, status="failed")
    assert device.world.get(device.path)["status"] == "bound"


def test_a_reset_that_expires_unbinds_only_where_the_device_had_taken_it(world: ContractWorld) -> None:
    taken, offered = world.device(), world.device()
    for device in (taken, offered):
        reset = world.web.made(f"{device.path}/reset")["id"]
        assert device.offered() == [reset]
        if device is taken:
            device.ack(reset)
    world.pass_time(7 * DAY)
    world.expire()
    assert (world.get(taken.path)["status"], world.get(offered.path)["status"]) == ("unbound", "bound")


def test_a_late_reset_never_unbinds_a_later_binding(device: BoundDevice) -> None:
    reset = device.world.web.made(f"{device.path}/reset")["id"]
    old = device.token
    device.unbind(force=True)
    device.bind()
    assert device.report(reset, old).json()["status"] == "executed"
    assert device.world.get(device.path)["status"] == "bound"
    assert device.heartbeat()["binding_generation"] == 2


def test_a_lost_refresh_strands_nobody(world: ContractWorld, device: BoundDevice) -> None:
    old = device.token
    fresh = [world.call("POST", f"/v1/devices/{who}/token/refresh", old) for who in ("me", device.id) * 15]
    assert {answer.status_code for answer in fresh} == {200}
    assert set(fresh[0].json()) == {"device_token"}
    assert world.call("POST", "/v1/devices/me/heartbeat", old).status_code == 200
    newest = fresh[-1].json()["device_token"]
    assert world.call("POST", "/v1/devices/me/heartbeat", newest).status_code == 200
    for replaced in (old, old, fresh[-2].json()["device_token"]):
        answer = world.call("POST", "/v1/devices/me/heartbeat", replaced)
        assert is_refused(answer, 401, Code.UNAUTHORIZED)
    assert len(world.all_events("device.token_reused", device.id)) == 2
    assert world.call("POST", "/v1/devices/me/heartbeat", newest).status_code == 200
