"""Devices: registration, reading, lists, changes, deletion, state and counts: each row of their table."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from rolltape.codes import Code
from rolltape.wire.times import iso
from tests.api.contract_world import ContractWorld, open_contract
from tests.api.web_world import STORES, is_refused

FIELDS = {
    "id", "project_id", "binding_generation", "serial_number", "model", "name", "firmware_version", "status",
    "end_user_id", "connection", "online", "battery_percent", "storage_used_mb", "storage_total_mb",
    "signal_strength_dbm", "last_heartbeat_at", "recording_state", "grant_alg", "public_key", "metadata", "settings",
    "created_at", "updated_at",
}  # fmt: skip
PUBLIC_KEY = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


def test_a_device_is_registered_with_all_that_it_may_have(world: ContractWorld) -> None:
    body = {
        "serial_number": "RT-1",
        "model": "pocket-2",
        "name": "Desk",
        "firmware_version": "1.2.3",
        "metadata": {"site": "b"},
        "connection": ["wifi", "4g", "ble"],
        "grant_alg": "HS256",
        "public_key": PUBLIC_KEY,
    }
    answer = world.call("POST", "/v1/devices", json=body)
    assert answer.status_code == 201
    device = answer.json()
    assert set(device) == FIELDS
    assert {name: device[name] for name in body} == body
    assert (device["status"], device["end_user_id"], device["binding_generation"]) == ("unbound", None, 0)
    assert (device["online"], device["last_heartbeat_at"], device["settings"]) == (False, None, {})
    said = device["recording_state"]
    assert said == {"device_state": None, "pending_recordings": None, "flags": None, "connection_type": None}
    assert len(world.all_events("device.registered", device["id"])) == 1


def test_a_device_needs_only_a_serial_number(world: ContractWorld) -> None:
    device = world.web.made("/v1/devices", serial_number="RT-2")
    assert (device["grant_alg"], device["connection"], device["metadata"]) == ("EdDSA", [], {})
    assert [device[name] for name in ("model", "name", "firmware_version", "public_key")] == [None] * 4


def test_the_same_serial_number_again_is_200_with_the_device_that_is_there(world: ContractWorld) -> None:
    device = world.web.made("/v1/devices", serial_number="RT-3", name="first")
    again = world.call("POST", "/v1/devices", json={"serial_number": "RT-3", "name": "second"})
    assert (again.status_code, again.json()) == (200, device)
    for stranger in (world.web.other_mode, world.web.other_project):
        other = world.call("POST", "/v1/devices", stranger, json={"serial_number": "RT-3"})
        assert other.status_code == 201
        assert other.json()["id"] != device["id"]


def test_device_type_is_another_name_for_model(world: ContractWorld) -> None:
    assert world.web.made("/v1/devices", serial_number="RT-4", device_type="pin")["model"] == "pin"
    assert world.web.made("/v1/devices", serial_number="RT-5", device_type="pin", model="pin")["model"] == "pin"
    body = {"serial_number": "RT-6", "device_type": "pin", "model": "pen"}
    assert is_refused(world.call("POST", "/v1/devices", json=body), 400, Code.INVALID_REQUEST, "device_type")


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("serial_number", ["x", "x" * 128], ["", "x" * 10_000, None, 5, "a\x00"]),
        ("name", ["", "x" * 128, None], ["x" * 129, 5]),
        ("firmware_version", ["x" * 32, None], ["x" * 33]),
        ("metadata", [{}, {"a": {"b": [None]}}, None], [[], "x", {"k": "x" * 16_384}]),
        ("connection", [[], ["ble"], ["ble", "wifi"]], [["usb"], "wifi", [1]]),
        ("grant_alg", ["EdDSA", "HS256"], ["none", "RS256", "eddsa", None]),
        ("public_key", [PUBLIC_KEY, None], [PUBLIC_KEY + "=", PUBLIC_KEY[:-1], PUBLIC_KEY[:-1] + "p", "!" * 43]),
    ],
)
def test_a_field_of_a_new_device_is_held_to_its_bounds(
    world: ContractWorld, field: str, good: list[Any], bad: list[Any]
) -> None:
    for i, value in enumerate(good):
        body = {"serial_number": f"good-{field}-{i}", field: value}
        assert world.call("POST", "/v1/devices", json=body).status_code == 201, value
    for value in bad:
        body = {"serial_number": f"bad-{field}", field: value}
        assert is_refused(world.call("POST", "/v1/devices", json=body), 400, Code.INVALID_REQUEST), value
    assert world.get(f"/v1/devices?serial_number=bad-{field}")["data"] == []


def test_devices_are_found_by_their_filters(world: ContractWorld) -> None:
    bound = world.device()
    free = world.web.made("/v1/devices", serial_number="free")
    bound.heartbeat()

    def found(query: str) -> set[str]:
        return {device["id"] for device in world.get(f"/v1/devices?limit=100&{query}")["data"]}

    assert bound.id in found("status=bound")
    assert bound.id not in found("status=unbound")
    assert free["id"] in found("status=unbound")
    assert found(f"end_user_id={bound.user}") == {bound.id}
    assert found("end_user_id=eu_nobody") == set()
    assert bound.id in found("online=true")
    assert free["id"] in found("online=false")
    assert found("serial_number=free") == {free["id"]}
    assert found("serial_number=fre") == set()
    assert found(f"status=bound&online=true&end_user_id={bound.user}") == {bound.id}
    assert found(f"status=unbound&end_user_id={bound.user}") == set()


@pytest.mark.parametrize(
    "query",
    ["status=lost", "status=", "online=1", "online=True", "end_user_id=", "end_user_id=dev_1", "end_user_id=x"],
)
def test_an_unknown_filter_value_is_400(world: ContractWorld, query: str) -> None:
    param = query.split("=", maxsplit=1)[0]
    assert is_refused(world.call("GET", f"/v1/devices?{query}"), 400, Code.INVALID_REQUEST, param)


def test_a_change_replaces_metadata_whole_and_merges_settings_deeply(world: ContractWorld) -> None:
    device = world.web.made("/v1/devices", serial_number="patched", name="a", metadata={"x": 1, "y": 2})
    path = f"/v1/devices/{device['id']}"
    world.pass_time(1)
    first = world.call("PATCH", path, json={"metadata": {"z": 3}, "settings": {"a": {"b": 1, "c": 2}, "d": [1]}})
    assert first.status_code == 200
    assert (first.json()["metadata"], first.json()["name"]) == ({"z": 3}, "a")
    assert first.json()["updated_at"] > device["updated_at"]
    settings = {"a": {"b": None, "c": {"e": 5}}, "d": [2]}
    second = world.call("PATCH", path, json={"settings": settings, "name": None, "firmware_version": "9"}).json()
    assert second["settings"] == {"a": {"c": {"e": 5}}, "d": [2]}
    assert (second["name"], second["firmware_version"]) == (None, "9")
    assert world.get(path) == second
    assert world.call("PATCH", path, json={}).status_code == 200


@pytest.mark.parametrize("seconds", [10, 3600])
def test_a_heartbeat_interval_within_its_bounds_counts_at_once(world: ContractWorld, seconds: int) -> None:
    device = world.device()
    assert device.heartbeat()["next_heartbeat_sec"] == 60
    answer = world.call("PATCH", device.path, json={"settings": {"heartbeat_sec": seconds}})
    assert answer.json()["settings"] == {"heartbeat_sec": seconds}
    assert device.heartbeat()["next_heartbeat_sec"] == seconds


@pytest.mark.parametrize("value", [9, 3601, 0, -1, 60.5, "60", True, [60]])
def test_another_heartbeat_interval_is_400_and_changes_nothing(world: ContractWorld, value: Any) -> None:
    device = world.device()
    answer = world.call("PATCH", device.path, json={"name": "no", "settings": {"heartbeat_sec": value}})
    assert is_refused(answer, 400, Code.INVALID_REQUEST, "settings.heartbeat_sec")
    after = world.get(device.path)
    assert (after["name"], after["settings"]) == (None, {})


@pytest.mark.parametrize(
    "body",
    [
        {"serial_number": "new"},
        {"status": "bound"},
        {"name": "x" * 129},
        {"firmware_version": "x" * 33},
        {"settings": None},
        {"settings": {"k": "x" * 16_384}},
        {"metadata": {"k": "x" * 16_384}},
    ],
)
def test_a_change_that_can_not_be_is_400(world: ContractWorld, body: dict[str, Any]) -> None:
    device = world.web.made("/v1/devices", serial_number="unchanged")
    answer = world.call("PATCH", f"/v1/devices/{device['id']}", json=body)
    assert is_refused(answer, 400, Code.INVALID_REQUEST)
    assert world.get(f"/v1/devices/{device['id']}") == device


def test_a_device_that_is_not_there_is_404_everywhere(world: ContractWorld) -> None:
    for method, rest in [
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/unbind"), ("POST", "/reset"), ("GET", "/state"),
        ("GET", "/commands"), ("GET", "/commands/cmd_1"), ("GET", "/commands/pending"), ("POST", "/heartbeat"),
        ("POST", "/commands/cmd_1/ack"), ("GET", "/commands/cmd_1/events"), ("DELETE", "/commands/cmd_1"),
    ]:  # fmt: skip
        for id_ in ("dev_nobody", "eu_nobody", "dev_", "me"):
            parts: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
            assert is_refused(world.call(method, f"/v1/devices/{id_}{rest}", **parts), 404, Code.NOT_FOUND), rest


def test_a_deleted_device_is_gone_and_its_commands_are_readable_by_events_only(world: ContractWorld) -> None:
    device = world.device()
    command = device.command()["id"]
    answer = world.call("DELETE", device.path)
    assert (answer.status_code, answer.content) == (204, b"")
    for path in (device.path, f"{device.path}/commands", f"{device.path}/commands/{command}", f"{device.path}/state"):
        assert is_refused(world.call("GET", path), 404, Code.NOT_FOUND)
    assert device.story(command) == ["created", "cancelled"]
    assert is_refused(world.call("DELETE", device.path), 404, Code.NOT_FOUND)
    assert is_refused(world.call("POST", "/v1/devices/me/heartbeat", device.token), 401, Code.TOKEN_REVOKED)
    serial = world.all_events("device.registered", device.id)[0]["serial_number"]
    again = world.call("POST", "/v1/devices", json={"serial_number": serial})
    assert again.status_code == 201
    assert again.json()["id"] != device.id


def test_a_device_that_records_is_deleted_only_by_force(world: ContractWorld) -> None:
    device = world.device()
    device.report(device.command()["id"], result={"recording_id": "rec_1"})
    answer = world.call("DELETE", device.path)
    assert is_refused(answer, 409, Code.DEVICE_RECORDING)
    assert answer.json()["error"]["details"]["status"] == "bound"
    assert world.call("DELETE", f"{device.path}?force=false").status_code == 409
    assert world.call("DELETE", f"{device.path}?force=true").status_code == 204


def test_the_state_of_a_device_that_never_called_is_unknown(world: ContractWorld) -> None:
    device = world.device()
    state = world.get(f"{device.path}/state")
    assert state["recording"] == {
        "active": None, "recording_id": None, "started_at": None, "initiated_by": None, "as_of": None, "evidence": None
    }  # fmt: skip
    names = ("online", "battery_percent", "last_heartbeat_at", "last_seen_by", "storage_used_mb", "storage_total_mb")
    assert [state[name] for name in names] == [False, None, None, None, None, None]
    assert (state["device_id"], state["binding_generation"]) == (device.id, 1)


def test_the_state_is_what_the_device_last_said_and_how_old_that_is(world: ContractWorld) -> None:
    device = world.device()
    began = iso(world.clock.now_ms() - 5000)
    running = {"recording_id": "rec_hand", "started_at": began, "initiated_by": "local"}
    said = {"device_state": "recording", "pending_recordings": 2, "flags": 255, "connection_type": ["4g", "ble"]}
    device.heartbeat(recording=running, battery_percent=0, storage_used_mb=1.5, storage_total_mb=64, **said)
    at = iso(world.clock.now_ms())
    state = world.get(f"{device.path}/state")
    assert state["recording"] == {**running, "active": True, "as_of": at, "evidence": "device"}
    assert state["recording_state"] == said
    assert (state["battery_percent"], state["storage_used_mb"], state["storage_total_mb"]) == (0, 1.5, 64)
    assert (state["online"], state["last_heartbeat_at"], state["last_seen_by"]) == (True, at, "4g")
    world.pass_time(200)
    later = world.get(f"{device.path}/state")
    assert (later["online"], later["recording"]["active"], later["recording"]["as_of"]) == (False, None, at)
    device.heartbeat(recording=None)
    assert world.get(f"{device.path}/state")["recording"]["active"] is False


def test_the_counts_are_of_this_project_and_mode(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_contract(tmp_path_factory.mktemp("stats")) as world:
        low, full, idle = world.device(), world.device(), world.device()
        world.web.made("/v1/devices", serial_number="unbound")
        low.heartbeat(battery_percent=14, storage_used_mb=90, storage_total_mb=100)
        full.heartbeat(battery_percent=15, storage_used_mb=90.5, storage_total_mb=100)
        full.report(full.command()["id"], result={"recording_id": "rec_1"})
        idle.command()
        stats = world.get("/v1/devices/stats")
        assert re.fullmatch(r"proj_\w+", stats.pop("project_id"))
        assert stats == {
            "total_count": 4, "bound_count": 3, "online_count": 2, "recording_count": 1, "low_battery_count": 1,
            "storage_full_count": 1, "open_command_count": 1,
        }  # fmt: skip
        world.pass_time(300)
        stats = world.get("/v1/devices/stats")
        assert (stats["online_count"], stats["recording_count"], stats["open_command_count"]) == (0, 0, 0)
        assert world.call("GET", "/v1/devices/stats", world.web.other_mode).json()["total_count"] == 0
