"""Whom a relay is let in as, and what it doesn't reach: other users, devices, projects, modes, and what is over."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rolltape.codes import Code
from rolltape.store.database import Db, Row
from rolltape.web.operation import Operation
from rolltape.web.table import OPERATIONS
from rolltape.wire.keys import b64url
from rolltape.workers.housekeeping import Keys
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract
from tests.api.relay_world import Relayed, relay_token, relayed
from tests.api.web_world import STORES, body_of, is_refused, named, one_of_each

RELAY = [op for op in OPERATIONS if op.relay]
OTHERS = [op for op in OPERATIONS if not op.relay and not op.public and not op.signed]
EIGHT_DAYS = 8 * 86_400
NONCE = b64url(bytes(16))


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture(scope="module")
def ids(world: ContractWorld) -> dict[str, str]:
    return one_of_each(world.web)


@pytest.fixture
def plain(world: ContractWorld) -> Relayed:
    return relayed(world)


# Planes


@pytest.mark.parametrize("op", RELAY, ids=named)
def test_a_key_or_a_device_token_is_refused_on_the_relay_plane(
    world: ContractWorld, ids: dict[str, str], op: Operation
) -> None:
    _, token = world.web.bound_device()
    for credential in (world.web.key, token):
        answer = world.call(op.method, op.path.format(**ids), credential, **body_of(op, ids))
        assert is_refused(answer, 403, Code.FORBIDDEN)
        assert answer.json()["error"]["details"] == {"needed": "relay_token"}


@pytest.mark.parametrize("op", OTHERS, ids=named)
def test_a_relay_token_is_refused_everywhere_else_and_told_what_is_needed(
    world: ContractWorld, ids: dict[str, str], op: Operation
) -> None:
    token = relay_token(world, ids["end_user_id"])
    answer = world.call(op.method, op.path.format(**ids), token, **body_of(op, ids))
    assert is_refused(answer, 403, Code.FORBIDDEN)
    assert answer.json()["error"]["details"] == {"needed": op.scope or "device_token"}


@pytest.mark.parametrize("op", RELAY, ids=named)
def test_unknown_fields_and_parameters_are_ignored_on_the_relay_plane(
    world: ContractWorld, ids: dict[str, str], op: Operation
) -> None:
    token = relay_token(world, ids["end_user_id"])
    if op.name == "streamRelayCommands":
        return  # its answer has no end
    body = {"json": {**body_of(op, ids)["json"], "new": 1}} if op.body is not None else {}
    answer = world.call(op.method, op.path.format(**ids) + "?new=1", token, **body)
    assert answer.status_code not in (400, 403)


# Tokens


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "end_user_id"),
        ({"end_user_id": "dev_1"}, "end_user_id"),
        ({"ttl_seconds": 59}, "ttl_seconds"),
        ({"ttl_seconds": 86_401}, "ttl_seconds"),
        ({"ttl_seconds": "60"}, "ttl_seconds"),
        ({"device_ids": []}, "device_ids"),
        ({"device_ids": ["rec_1"]}, "device_ids[0]"),
        ({"device_ids": ["dev_1"] * 1001}, "device_ids"),
        ({"foo": 1}, "foo"),
    ],
)
def test_a_token_that_is_asked_for_wrongly_is_not_made(
    world: ContractWorld, ids: dict[str, str], body: dict[str, Any], param: str
) -> None:
    given = body if not body else {"end_user_id": ids["end_user_id"], **body}
    assert is_refused(world.call("POST", "/v1/relay-tokens", json=given), 400, Code.INVALID_REQUEST, param)


def test_a_token_is_made_for_a_user_and_devices_of_the_same_project_and_mode(
    world: ContractWorld, ids: dict[str, str]
) -> None:
    body = {"end_user_id": ids["end_user_id"]}
    for stranger in (world.web.other_project, world.web.other_mode):
        answer = world.call("POST", "/v1/relay-tokens", stranger, json=body)
        assert is_refused(answer, 404, Code.NOT_FOUND, "end_user_id")
        answer = world.call("DELETE", f"/v1/relay-tokens?end_user_id={ids['end_user_id']}", stranger)
        assert is_refused(answer, 404, Code.NOT_FOUND, "end_user_id")
    answer = world.call("POST", "/v1/relay-tokens", json={**body, "device_ids": [ids["device_id"], "dev_nobody"]})
    assert is_refused(answer, 404, Code.NOT_FOUND, "device_ids")


def test_whose_tokens_are_to_be_revoked_must_be_said(world: ContractWorld) -> None:
    assert is_refused(world.call("DELETE", "/v1/relay-tokens"), 400, Code.INVALID_REQUEST, "end_user_id")
    assert is_refused(world.call("DELETE", "/v1/relay-tokens?end_user_id=x"), 400, Code.INVALID_REQUEST, "end_user_id")
    assert is_refused(world.call("DELETE", "/v1/relay-tokens?end_user_id=eu_nobody"), 404, Code.NOT_FOUND)


def test_a_token_ends_to_the_millisecond(world: ContractWorld, plain: Relayed) -> None:
    plain.token = relay_token(world, plain.device.user, ttl_seconds=60)
    world.pass_time(59.999)
    plain.commands()
    world.pass_time(0.001)
    assert is_refused(plain.call("GET", "/v1/relay/commands"), 401, Code.UNAUTHORIZED)
    assert is_refused(plain.call("GET", "/v1/relay/stream"), 401, Code.UNAUTHORIZED)


def test_a_revoked_token_is_over_at_once(world: ContractWorld, plain: Relayed) -> None:
    other = relayed(world)
    plain.commands()
    again = relay_token(world, plain.device.user)
    for _ in range(2):
        assert world.call("DELETE", f"/v1/relay-tokens?end_user_id={plain.device.user}").status_code == 204
    for token in (plain.token, again):
        answer = plain.call("GET", "/v1/relay/devices", token)
        assert is_refused(answer, 401, Code.UNAUTHORIZED)
        assert "backend" in answer.json()["error"]["message"]
    other.commands()
    plain.token = relay_token(world, plain.device.user)
    plain.commands()


def test_a_token_ends_with_its_end_user(world: ContractWorld, plain: Relayed) -> None:
    plain.commands()
    assert world.call("DELETE", f"/v1/end-users/{plain.device.user}").status_code == 204
    assert is_refused(plain.call("GET", "/v1/relay/devices"), 401, Code.UNAUTHORIZED)


def test_the_last_use_of_a_token_is_noted(world: ContractWorld, plain: Relayed) -> None:
    plain.commands()
    world.web.run(Keys().run_once(world.web.app, world.clock.now_ms()))

    async def look(db: Db) -> list[Row]:
        return await db.all("SELECT last_used_at FROM relay_tokens WHERE end_user_id = ?", (plain.device.user,))

    found = world.web.run(world.web.app.store._at.read(look))  # type: ignore[attr-defined]
    assert found == [(world.clock.now_ms(),)]


def test_a_token_has_256_bits_and_is_new_each_time(world: ContractWorld, plain: Relayed) -> None:
    tokens = {relay_token(world, plain.device.user) for _ in range(20)}
    assert len(tokens) == 20
    assert all(token.startswith("rtok_") and len(token) == 5 + 43 for token in tokens)


# Reach


def every_call(plain: Relayed, command: str, device: BoundDevice | None = None) -> dict[str, httpx2.Response]:
    """What a relay can do to one device, each once."""
    path = f"/v1/relay/devices/{(device or plain.device).id}"
    started = {"started_at": "2027-01-01T11:00:00Z"}
    return {
        "challenge": plain.call("POST", f"{path}/challenge", json={"nonce": NONCE, "jti": command}),
        "ack": plain.call("POST", f"{path}/commands/{command}/ack"),
        "report": plain.call("POST", f"{path}/commands/{command}/report", json={"status": "executed"}),
        "heartbeat": plain.call("POST", f"{path}/heartbeat", json={"battery_percent": 1}),
        "recording": plain.call("POST", f"{path}/recordings", json=started),
    }


def is_out_of_reach(plain: Relayed, device: BoundDevice, command: str) -> bool:
    """Whether nothing of a relay's gets through to a device, nor anything of it to the relay."""
    before = device.read(command), device.world.get(f"{device.path}/state"), device.story(command)
    answers = every_call(plain, command, device)
    listed = [each["id"] for each in plain.call("GET", "/v1/relay/devices").json()["data"]]
    told = plain.commands()
    after = device.read(command), device.world.get(f"{device.path}/state"), device.story(command)
    offered = [offer["device_id"] for offer in told["commands"]]
    hidden = device.id not in listed and device.id not in offered and before == after
    return hidden and all(is_refused(answer, 404, Code.NOT_FOUND) for answer in answers.values())


def test_another_users_device_is_out_of_reach(world: ContractWorld, plain: Relayed) -> None:
    other = world.device()
    assert is_out_of_reach(plain, other, other.command()["id"])


def test_a_token_for_some_devices_reaches_no_others_of_the_same_user(world: ContractWorld, plain: Relayed) -> None:
    second = world.device()
    second.unbind(force=True)
    second.user = plain.device.user
    second.bind()
    command = second.command()["id"]
    plain.token = relay_token(world, plain.device.user, device_ids=[plain.device.id])
    assert is_out_of_reach(plain, second, command)
    plain.token = relay_token(world, plain.device.user, device_ids=[plain.device.id, second.id, second.id])
    assert [each["id"] for each in plain.call("GET", "/v1/relay/devices").json()["data"]] == [
        plain.device.id,
        second.id,
    ]
    assert [offer["id"] for offer in plain.commands()["commands"]] == [command]


def test_a_token_of_another_project_or_mode_reaches_nothing(world: ContractWorld, plain: Relayed) -> None:
    command = plain.device.command()["id"]
    for key in (world.web.other_project, world.web.other_mode):
        made = world.call("POST", "/v1/end-users", key, json={"external_id": "theirs"})
        answer = world.call("POST", "/v1/relay-tokens", key, json={"end_user_id": made.json()["id"]})
        stranger = Relayed(plain.device, None, answer.json()["relay_token"])
        assert is_out_of_reach(stranger, plain.device, command)


def test_a_device_or_command_that_can_not_be_is_not_there(plain: Relayed) -> None:
    for path in (
        "/v1/relay/devices/me/heartbeat",
        "/v1/relay/devices/dev_nobody/heartbeat",
        f"/v1/relay/devices/{plain.device.id}%2Fx/heartbeat",
        f"{plain.path}/commands/cmd_nobody/ack",
        f"{plain.path}/commands/rec_1/ack",
        f"{plain.path}/recordings/rec_nobody/upload-complete",
    ):
        assert is_refused(plain.call("POST", path), 404, Code.NOT_FOUND), path


def test_another_devices_command_is_not_this_ones(world: ContractWorld, plain: Relayed) -> None:
    other = world.device()
    command = other.command()["id"]
    assert is_refused(plain.ack(command), 404, Code.NOT_FOUND)
    assert is_refused(plain.report(command), 404, Code.NOT_FOUND)
    said = plain.challenge(jti=command)
    assert (said.go, said.status) == (False, None)
    assert other.story(command) == ["created"]


# After the end of a binding


def test_after_an_unbind_a_relay_lands_what_was_left_for_eight_days(world: ContractWorld, plain: Relayed) -> None:
    done, open_ = plain.device.command(), plain.device.command()
    plain.ack(done["id"])
    plain.device.unbind(force=True)
    assert plain.call("GET", "/v1/relay/devices").json() == {"data": []}
    assert is_refused(plain.heartbeat(battery_percent=1), 404, Code.NOT_FOUND)
    world.pass_time(EIGHT_DAYS - 1)
    plain.token = relay_token(world, plain.device.user)
    refusal = plain.ack(open_["id"])
    assert is_refused(refusal, 409, Code.COMMAND_NO_GO)
    assert plain.report(done["id"], result={"recording_id": "rec_1"}).json()["status"] == "executed"
    said = plain.challenge(jti=done["id"], seq_floor=True)
    assert (said.go, said.status, said.gen, said.seq_floor) == (False, "executed", 1, None)
    body = {"started_at": "2027-01-01T11:00:00Z"}
    made = plain.call("POST", f"{plain.path}/recordings", json=body)
    assert (made.status_code, made.json()["end_user_id"]) == (201, plain.device.user)
    world.pass_time(1)
    assert all(is_refused(answer, 404, Code.NOT_FOUND) for answer in every_call(plain, done["id"]).values())


def test_after_a_rebind_to_somebody_else_the_first_users_relay_keeps_its_own_story_alone(
    world: ContractWorld, plain: Relayed
) -> None:
    mine = plain.device.command()["id"]
    plain.device.unbind(force=True)
    first, plain.device.user = plain.device.user, world.web.made("/v1/end-users", external_id=mine)["id"]
    plain.device.bind()
    theirs = plain.device.command()["id"]
    other = Relayed(plain.device, None, relay_token(world, plain.device.user))
    assert is_refused(plain.ack(theirs), 404, Code.NOT_FOUND)
    assert is_refused(plain.report(theirs), 404, Code.NOT_FOUND)
    assert is_refused(other.ack(mine), 404, Code.NOT_FOUND)
    assert is_refused(other.report(mine), 404, Code.NOT_FOUND)
    assert is_refused(plain.heartbeat(), 404, Code.NOT_FOUND)
    assert plain.commands()["commands"] == []
    assert plain.report(mine).json()["status"] == "executed"
    body = {"started_at": "2027-01-01T11:00:00Z"}
    assert plain.call("POST", f"{plain.path}/recordings", json=body).json()["end_user_id"] == first
    for generation in (2, 3, 0):
        answer = plain.call("POST", f"{plain.path}/recordings", json={**body, "binding_generation": generation})
        assert is_refused(answer, 404, Code.NOT_FOUND, "binding_generation")
    answer = plain.call("POST", f"{plain.path}/recordings", json={**body, "command_id": theirs})
    assert is_refused(answer, 404, Code.NOT_FOUND)
    assert [offer["id"] for offer in other.commands()["commands"]] == [theirs]


def test_the_same_users_relay_speaks_of_both_of_their_bindings(plain: Relayed) -> None:
    before = plain.device.command()["id"]
    plain.device.unbind(force=True)
    plain.device.bind()
    after = plain.device.command()["id"]
    assert is_refused(plain.ack(before), 409, Code.COMMAND_NO_GO)
    assert plain.ack(after).json()["go"] is True
    assert plain.report(before).json()["status"] == "executed"
    assert (plain.challenge(jti=before).go, plain.challenge(jti=after).go) == (False, True)
    assert plain.challenge(jti=before).gen == 2


def test_a_deleted_devices_story_can_be_told(world: ContractWorld, plain: Relayed) -> None:
    command = plain.device.command()["id"]
    assert world.call("DELETE", f"{plain.device.path}?force=true").status_code == 204
    assert is_refused(plain.heartbeat(), 404, Code.NOT_FOUND)
    assert plain.report(command).json()["status"] == "executed"


# How often


def test_a_relay_has_a_bucket_for_polls_and_one_for_all_else(tmp_path: Path) -> None:
    with open_contract(tmp_path, device_rate=1) as world:
        plain = relayed(world)
        assert [plain.call("GET", "/v1/relay/commands").status_code for _ in range(11)] == [200] * 10 + [429]
        refused = plain.call("GET", "/v1/relay/stream")
        assert is_refused(refused, 429, Code.RATE_LIMIT_EXCEEDED)
        assert refused.headers["retry-after"] == "1"
        assert [plain.heartbeat().status_code for _ in range(11)] == [200] * 10 + [429]
        other = relay_token(world, plain.device.user)
        assert plain.call("GET", "/v1/relay/devices", other).headers["x-ratelimit-remaining"] == "9"
