"""API keys and end users: each row of their tables."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from rolltape.codes import SCOPES, Code
from rolltape.config import Settings
from rolltape.wiring.databases import open_db
from tests.api.contract_world import ContractWorld, open_contract
from tests.api.web_world import STORES, is_refused

KEY_FIELDS = {"id", "project_id", "mode", "name", "scopes", "created_at", "last_used_at"}
USER_FIELDS = {"id", "project_id", "external_id", "name", "email", "metadata", "created_at"}


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


def make_key(world: ContractWorld, by: str | None = None, **body: Any) -> dict[str, Any]:
    answer = world.call("POST", "/v1/keys", by, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_a_key_is_shown_once_and_is_256_bits(world: ContractWorld) -> None:
    made = make_key(world, name="mine")
    assert set(made) == KEY_FIELDS | {"key"}
    assert re.fullmatch(r"sk_test_[A-Za-z0-9_-]{43}", made["key"])
    assert re.fullmatch(r"key_[A-Za-z0-9]{1,64}", made["id"])
    assert (made["name"], made["mode"], made["last_used_at"]) == ("mine", "test", None)
    listed = next(key for key in world.get("/v1/keys")["data"] if key["id"] == made["id"])
    assert set(listed) == KEY_FIELDS


def test_a_key_without_a_body_has_all_that_its_maker_has(world: ContractWorld) -> None:
    answer = world.call("POST", "/v1/keys")
    assert answer.status_code == 201
    assert answer.json()["scopes"] == list(SCOPES)
    assert answer.json()["name"] is None


def test_a_key_of_chosen_scopes_says_so_in_its_prefix(world: ContractWorld) -> None:
    made = make_key(world, scopes=["keys:write", "devices:read", "devices:read"])
    assert made["key"].startswith("rk_test_")
    assert made["scopes"] == ["devices:read", "keys:write"]
    live = world.call("POST", "/v1/keys", world.web.other_mode, json={}).json()
    assert live["key"].startswith("sk_live_")
    assert live["mode"] == "live"


def test_a_key_can_not_give_more_than_it_has(world: ContractWorld) -> None:
    small = make_key(world, scopes=["keys:write", "devices:read"])["key"]
    answer = world.call("POST", "/v1/keys", small, json={"scopes": ["devices:read", "devices:write"]})
    assert is_refused(answer, 403, Code.FORBIDDEN, "scopes")
    assert answer.json()["error"]["details"] == {"missing": ["devices:write"]}
    assert "devices:write" in answer.json()["error"]["message"]
    assert make_key(world, small)["scopes"] == ["devices:read", "keys:write"]
    assert is_refused(world.call("POST", "/v1/keys", small, json={"mode": "live"}), 403, Code.FORBIDDEN, "mode")
    assert make_key(world, mode="test")["mode"] == "test"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["devices:admin"]}, "scopes[0]"),
        ({"mode": "prod"}, "mode"),
        ({"name": "x" * 129}, "name"),
        ({"scopes": "devices:read"}, "scopes"),
    ],
)
def test_a_key_that_can_not_be_is_400(world: ContractWorld, body: dict[str, Any], param: str) -> None:
    answer = world.call("POST", "/v1/keys", json=body)
    assert is_refused(answer, 400, Code.INVALID_REQUEST)
    assert answer.json()["error"]["param"].startswith(param.split("[", maxsplit=1)[0])


def test_a_revoked_key_is_401_at_once_and_gone_from_the_list(world: ContractWorld) -> None:
    made = make_key(world)
    assert world.call("GET", "/v1/devices", made["key"]).status_code == 200
    answer = world.call("DELETE", f"/v1/keys/{made['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert is_refused(world.call("GET", "/v1/devices", made["key"]), 401, Code.UNAUTHORIZED)
    assert made["id"] not in [key["id"] for key in world.get("/v1/keys?limit=100")["data"]]
    assert is_refused(world.call("DELETE", f"/v1/keys/{made['id']}"), 404, Code.NOT_FOUND)


def test_another_projects_key_can_not_be_revoked_nor_seen(world: ContractWorld) -> None:
    made = make_key(world)
    for stranger in (world.web.other_mode, world.web.other_project):
        assert is_refused(world.call("DELETE", f"/v1/keys/{made['id']}", stranger), 404, Code.NOT_FOUND)
        listed = world.call("GET", "/v1/keys?limit=100", stranger).json()["data"]
        assert made["id"] not in [key["id"] for key in listed]
    assert world.call("GET", "/v1/devices", made["key"]).status_code == 200


def test_a_key_tells_when_it_was_last_used(world: ContractWorld) -> None:
    made = make_key(world)
    world.pass_time(10)
    world.call("GET", "/v1/devices", made["key"])
    now = world.clock.now_ms()
    listed = next(key for key in world.get("/v1/keys")["data"] if key["id"] == made["id"])
    assert listed["last_used_at"] > made["created_at"]
    world.pass_time(5)
    assert world.clock.now_ms() > now


async def everything_kept(settings: Settings) -> list[bytes]:
    """What a thief of the database would have."""
    if settings.database is None:
        return [path.read_bytes() for path in settings.data.rglob("*") if path.is_file()]
    async with open_db(settings) as db:
        tables = await db.all("SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()")
        rows = [row for (name,) in tables for row in await db.all(f"SELECT kept::text FROM {name} AS kept")]
    return [str(row[0]).encode() for row in rows]


def test_keys_rest_as_hashes_alone(world: ContractWorld) -> None:
    made = make_key(world)
    device = world.device()
    world.write_states()
    secrets = (made["key"].encode(), device.token.encode())
    kept = world.web.run(everything_kept(world.web.app.config))
    assert kept
    assert not any(secret in part for part in kept for secret in secrets)


def test_an_end_user_is_made_read_listed_and_deleted(world: ContractWorld) -> None:
    body = {"external_id": "user-1", "name": "Ada", "email": "ada@example.com", "metadata": {"a": [1]}}
    answer = world.call("POST", "/v1/end-users", json=body)
    assert answer.status_code == 201
    user = answer.json()
    assert set(user) == USER_FIELDS
    assert {name: user[name] for name in body} == body
    assert world.get(f"/v1/end-users/{user['id']}") == user
    assert user in world.get("/v1/end-users?limit=100")["data"]
    assert world.call("DELETE", f"/v1/end-users/{user['id']}").status_code == 204
    assert is_refused(world.call("GET", f"/v1/end-users/{user['id']}"), 404, Code.NOT_FOUND)
    assert is_refused(world.call("DELETE", f"/v1/end-users/{user['id']}"), 404, Code.NOT_FOUND)
    assert world.call("POST", "/v1/end-users", json=body).json()["id"] != user["id"]


def test_an_end_user_needs_only_an_external_id(world: ContractWorld) -> None:
    user = world.web.made("/v1/end-users", external_id="only")
    assert (user["name"], user["email"], user["metadata"]) == (None, None, {})


def test_an_external_id_is_unique_in_the_project(world: ContractWorld) -> None:
    user = world.web.made("/v1/end-users", external_id="taken")
    answer = world.call("POST", "/v1/end-users", json={"external_id": "taken"})
    assert is_refused(answer, 409, Code.EXTERNAL_ID_TAKEN, "external_id")
    assert answer.json()["error"]["details"]["end_user_id"] == user["id"]
    for stranger in (world.web.other_mode, world.web.other_project):
        made = world.call("POST", "/v1/end-users", stranger, json={"external_id": "taken"})
        assert made.status_code == 201


def test_an_external_id_is_looked_up_exactly(world: ContractWorld) -> None:
    user = world.web.made("/v1/end-users", external_id="Exact %_é")
    found = world.call("GET", "/v1/end-users", params={"external_id": "Exact %_é"}).json()
    assert found == {"data": [user], "has_more": False, "next_cursor": None}
    for other in ("exact %_é", "Exact", "Exact %%é", "%", "Exact %_é "):
        assert world.call("GET", "/v1/end-users", params={"external_id": other}).json()["data"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"external_id": ""},
        {"external_id": "x" * 256},
        {"external_id": None},
        {"external_id": 5},
        {"external_id": "a\x00b"},
        {"external_id": "m", "metadata": {"k": "x" * 16_384}},
        {"external_id": "m", "metadata": []},
        {"external_id": "m", "email": "x" * 321},
        {"external_id": "m", "name": "x" * 256},
        {"external_id": "m", "user": 1},
    ],
)
def test_an_end_user_that_can_not_be_is_400(world: ContractWorld, body: dict[str, Any]) -> None:
    assert is_refused(world.call("POST", "/v1/end-users", json=body), 400, Code.INVALID_REQUEST)


def test_the_greatest_external_id_and_metadata_are_taken(world: ContractWorld) -> None:
    metadata = {"k": "x" * (16_384 - len('{"k":""}'))}
    user = world.web.made("/v1/end-users", external_id="x" * 255, metadata=metadata)
    assert user["metadata"] == metadata
    found = world.get(f"/v1/end-users?external_id={'x' * 255}")["data"]
    assert [row["id"] for row in found] == [user["id"]]


def test_deleting_an_end_user_unbinds_its_devices_by_force(world: ContractWorld) -> None:
    device = world.device()
    start = device.command()["id"]
    assert device.report(start, result={"recording_id": "rec_x", "started_at": "2027-01-01T12:00:00Z"}).is_success
    waiting = device.command()["id"]
    assert is_refused(device.unbind(), 409, Code.DEVICE_RECORDING)
    assert world.call("DELETE", f"/v1/end-users/{device.user}").status_code == 204
    after = world.get(device.path)
    assert (after["status"], after["end_user_id"]) == ("unbound", None)
    assert device.read(waiting)["status"] == "cancelled"
    answer = world.call("POST", "/v1/devices/me/heartbeat", device.token)
    assert is_refused(answer, 401, Code.TOKEN_REVOKED)
    assert len(world.all_events("device.unbound", device.id)) == 1
