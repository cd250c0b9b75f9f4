"""The relay plane as it should be used: what a relay is told, what it brings, and what becomes of it."""

from collections.abc import Iterator

import pytest

from rolltape.service import relay_reach
from rolltape.wire import grant
from rolltape.wire.keys import un_b64url
from rolltape.wire.times import parse
from tests.api.contract_world import ContractWorld, claims, open_contract
from tests.api.relay_world import Relayed, relayed

DAY = 86_400


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web")) as world:
        yield world


@pytest.fixture(params=["EdDSA", "HS256"])
def plain(request: pytest.FixtureRequest, world: ContractWorld) -> Relayed:
    """A device without a key of its own."""
    return relayed(world, grant_alg=request.param)


@pytest.fixture
def keyed(world: ContractWorld) -> Relayed:
    """A device that signs."""
    return relayed(world, keyed=True)


def test_of_too_many_devices_the_oldest_are_listed_and_it_is_said_that_there_are_more(
    world: ContractWorld, plain: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [plain.device.id]
    for number in range(2):
        ids.append(world.web.made("/v1/devices", serial_number=f"another-{plain.device.id}-{number}")["id"])
        world.web.made(f"/v1/devices/{ids[-1]}/bind", end_user_id=plain.device.user)
    monkeypatch.setattr(relay_reach, "MAX_DEVICES", 2)
    told = plain.call("GET", "/v1/relay/devices").json()
    assert ([each["id"] for each in told["data"]], told["more"]) == (ids[:2], True)
    some = world.web.made("/v1/relay-tokens", end_user_id=plain.device.user, device_ids=ids[1:])["relay_token"]
    told = plain.call("GET", "/v1/relay/devices", some).json()
    assert ([each["id"] for each in told["data"]], "more" in told) == (ids[1:], False)


def test_a_relay_sees_its_end_users_devices_alone(world: ContractWorld, keyed: Relayed) -> None:
    world.device()
    mine = {
        "id": keyed.device.id,
        "serial_number": world.get(keyed.device.path)["serial_number"],
        "binding_generation": 1,
        "grant_alg": "EdDSA",
        "has_key": True,
    }
    assert keyed.call("GET", "/v1/relay/devices").json() == {"data": [{**mine, "commands_wait": False}]}
    keyed.device.command()
    assert keyed.call("GET", "/v1/relay/devices").json() == {"data": [{**mine, "commands_wait": True}]}


def test_an_offer_has_one_grant_in_two_encodings_that_ends_soon(world: ContractWorld, plain: Relayed) -> None:
    command = plain.device.command(ttl_seconds=3600)
    now = world.clock.now_ms()
    (offer,) = plain.commands()["commands"]
    facts = {"iss": plain.device.bound["grant_iss"], "aud": plain.device.id, "gen": 1}
    said = grant.authenticate(offer["grant_token"], plain.verifiers, **facts)
    assert grant.authenticate(un_b64url(offer["grant_cwt"]), plain.verifiers, **facts) == said
    assert (said.jti, said.exp) == (command["id"], now // 1000 + 900)
    assert claims(command["grant_token"])["exp"] == parse(command["expires_at"]) // 1000
    assert claims(command["grant_token"])["seq"] == said.seq == offer["seq"]
    assert (offer["device_id"], offer["expires_at"]) == (plain.device.id, command["expires_at"])


def test_a_whole_life_through_a_relay(plain: Relayed) -> None:
    command = plain.device.command(params={"metadata": {"secret": 1}})
    (offer,) = plain.commands()["commands"]
    assert "metadata" not in offer["params"]
    said = plain.challenge(jti=command["id"])
    assert (said.go, said.status, said.gen, said.seq_floor) == (True, "pending", 1, None)
    assert plain.ack(command["id"]).json() == {"go": True, "status": "delivered"}
    assert plain.challenge(jti=command["id"]).status == "delivered"
    done = plain.report(command["id"], result={"recording_id": "rec_1"})
    assert done.json()["status"] == "executed"
    assert (done.json()["grant_token"], "metadata" in done.json()["params"]) == (None, False)
    assert plain.challenge(jti=command["id"]).go is False
    seen = plain.device.read(command["id"])
    assert (seen["status"], seen["delivery"]["evidence"], seen["delivery"]["route"]) == ("executed", "relay", "relay")
    assert plain.device.story(command["id"]) == ["created", "offered", "delivered", "executed"]


def test_what_the_device_signed_is_its_own_signed_word(keyed: Relayed) -> None:
    command = keyed.device.command()
    keyed.commands()
    assert keyed.signed_ack(command["id"]).json() == {"go": True, "status": "delivered"}
    assert keyed.device.read(command["id"])["delivery"]["evidence"] == "device_signed"
    assert keyed.signed_report(command["id"], result={"recording_id": "rec_1"}).json()["status"] == "executed"
    assert keyed.device.read(command["id"])["delivery"]["evidence"] == "device_signed"


def test_without_a_receipt_a_keyed_devices_word_is_a_claim_that_changes_nothing(keyed: Relayed) -> None:
    command = keyed.device.command()
    keyed.commands()
    before = keyed.device.read(command["id"])
    for _ in range(2):
        answer = keyed.ack(command["id"])
        assert (answer.status_code, answer.json()) == (202, {"claimed": True, "status": "pending"})
        answer = keyed.report(command["id"], result={"recording_id": "rec_x"})
        assert (answer.status_code, answer.json()) == (202, {"claimed": True, "status": "pending"})
    assert keyed.device.read(command["id"]) == before
    assert keyed.device.story(command["id"]) == ["created", "offered", "claimed", "claimed"]
    told = [event["data"]["claim"] for event in keyed.device.history(command["id"])[2:]]
    assert told == [{"status": "delivered"}, {"status": "executed", "result": {"recording_id": "rec_x"}}]


def test_a_heartbeat_tells_how_the_device_is_and_that_it_was_seen_by_ble(world: ContractWorld, plain: Relayed) -> None:
    answer = plain.heartbeat(battery_percent=41, recording=None)
    assert answer.json()["taken"] is True
    state = world.get(f"{plain.device.path}/state")
    assert (state["battery_percent"], state["last_seen_by"], state["online"]) == (41, "ble", False)
    assert state["recording"]["evidence"] == "relay"
