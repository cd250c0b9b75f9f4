"""The grant over HTTP: what it says, who signed it, which key it takes, and when that changes."""

from collections.abc import Iterator
from typing import Any

import pytest

from rolltape.store.operations import accounts
from rolltape.wire.grant import authenticate
from rolltape.wire.keys import HmacKey, Verifier, un_b64url, verifiers_from_jwks
from rolltape.wire.times import parse
from rolltape.wiring.databases import open_db
from tests.api.contract_world import BoundDevice, ContractWorld, claims, header, open_contract


@pytest.fixture
def world(tmp_path: Any) -> Iterator[ContractWorld]:
    with open_contract(tmp_path) as world:
        yield world


def rotate(world: ContractWorld) -> str:
    """A new grant key, as an operator makes one beside the server; its id."""
    world.pass_time(1)
    row = world.web.app.vault.new_signing_key(world.clock.now_ms())

    async def take() -> None:
        async with open_db(world.web.app.config) as db, db.transaction():
            await accounts.insert_signing_key(db, row)
        world.web.app.vault.load_signing_keys(await world.web.app.store.signing_keys())

    world.web.run(take())
    return row.kid


def keys_of(device: BoundDevice) -> dict[str, Verifier]:
    """What the device holds from bind."""
    bound = device.bound
    if "grant_secret" in bound:
        return {bound["grant_kid"]: HmacKey(bound["grant_kid"], un_b64url(bound["grant_secret"]))}
    return verifiers_from_jwks(bound["grant_keys"])


@pytest.mark.parametrize("alg", ["EdDSA", "HS256"])
def test_a_grant_is_the_command_and_is_checked_with_what_bind_gave(world: ContractWorld, alg: str) -> None:
    device = world.device(grant_alg=alg)
    world.pass_time(0.75)
    command = device.command(params={"max_duration_sec": 9, "metadata": {"secret": "case-7"}}, ttl_seconds=60)
    token = command["grant_token"]
    assert header(token) == {"alg": alg, "typ": "JWT", "kid": next(iter(keys_of(device)))}
    said = claims(token)
    assert said == {
        "iss": device.bound["grant_iss"],
        "aud": device.id,
        "jti": command["id"],
        "seq": 1,
        "gen": 1,
        "iat": parse(command["created_at"]) // 1000,
        "nbf": parse(command["created_at"]) // 1000,
        "exp": parse(command["expires_at"]) // 1000,
        "type": "start_recording",
        "params": {"max_duration_sec": 9, "upload_immediately": True},
    }
    authenticate(token, keys_of(device), iss=device.bound["grant_iss"], aud=device.id, gen=1)
    assert len(token) <= 1024


def test_an_offer_carries_the_same_grant_and_no_metadata(world: ContractWorld) -> None:
    device = world.device()
    command = device.command(params={"metadata": {"secret": "case-7"}})
    beat, found = device.heartbeat(), device.poll()
    for offer in (beat["commands"][0], found["commands"][0]):
        assert offer == {
            "id": command["id"],
            "type": "start_recording",
            "params": {"max_duration_sec": 3600, "upload_immediately": True},
            "grant_token": command["grant_token"],
            "expires_at": command["expires_at"],
            "seq": 1,
        }
    assert "metadata" not in device.report(command["id"]).json()["params"]
    assert device.read(command["id"])["params"]["metadata"] == {"secret": "case-7"}


def test_the_generation_in_the_grant_is_the_bindings(world: ContractWorld) -> None:
    device = world.device()
    device.unbind()
    assert device.bind()["binding_generation"] == 2
    assert claims(device.command()["grant_token"])["gen"] == 2


def test_a_device_is_signed_for_with_a_new_key_only_once_it_says_that_it_holds_it(world: ContractWorld) -> None:
    device = world.device()
    old = header(device.command()["grant_token"])["kid"]
    assert "grant_keys" not in device.heartbeat()
    new = rotate(world)
    published = [key["kid"] for key in world.call("GET", "/.well-known/jwks.json", "").json()["keys"]]
    assert published == [new, old]
    assert header(device.command()["grant_token"])["kid"] == old
    beat = device.heartbeat()
    assert {key["kid"] for key in beat["grant_keys"]["keys"]} == {old, new}
    assert header(beat["commands"][0]["grant_token"])["kid"] == old
    assert header(device.command()["grant_token"])["kid"] == old
    confirmed = device.heartbeat(grant_kids=[old, new])
    assert "grant_keys" not in confirmed
    assert {header(offer["grant_token"])["kid"] for offer in confirmed["commands"]} == {new}
    assert header(device.command()["grant_token"])["kid"] == new
    assert {header(offer["grant_token"])["kid"] for offer in device.poll()["commands"]} == {new}


def test_a_device_that_lost_the_new_key_is_signed_for_with_the_old_one_again(world: ContractWorld) -> None:
    device = world.device()
    old = header(device.command()["grant_token"])["kid"]
    new = rotate(world)
    device.heartbeat(grant_kids=[old, new, "unknown"])
    beat = device.heartbeat(grant_kids=[old])
    assert header(beat["commands"][0]["grant_token"])["kid"] == old
    assert "grant_keys" in beat


def test_bind_gives_all_keys_and_they_count_as_held(world: ContractWorld) -> None:
    device = world.device()
    new = rotate(world)
    assert new in {key["kid"] for key in device.bind()["grant_keys"]["keys"]}
    assert header(device.command()["grant_token"])["kid"] == new


def test_an_hs256_device_is_never_sent_public_keys(world: ContractWorld) -> None:
    device = world.device(grant_alg="HS256")
    rotate(world)
    assert "grant_keys" not in device.heartbeat(grant_kids=[])
    assert header(device.command()["grant_token"])["kid"] == device.bound["grant_kid"]


def test_a_lost_replay_record_gets_a_floor_above_every_seq_so_far(world: ContractWorld) -> None:
    device = world.device()
    highest = max(claims(device.command()["grant_token"])["seq"] for _ in range(3))
    assert "seq_floor" not in device.heartbeat()
    assert "seq_floor" not in device.heartbeat(replay_state_lost=False)
    floor = device.heartbeat(replay_state_lost=True)["seq_floor"]
    assert floor > highest
    assert claims(device.command()["grant_token"])["seq"] > floor
