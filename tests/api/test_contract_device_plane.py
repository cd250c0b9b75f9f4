"""The device plane: heartbeat, poll, acknowledge and report: each row of its table, and the same with an API key."""

from collections.abc import Iterator
from typing import Any

import pytest

from rolltape.codes import Code, Failure
from rolltape.wire.times import iso
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract
from tests.api.web_world import STORES, is_refused


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


def test_an_empty_heartbeat_is_answered_with_time_interval_and_generation(device: BoundDevice) -> None:
    ways: list[dict[str, Any]] = [{}, {"json": {}}]
    for parts in ways:
        answer = device.world.call("POST", "/v1/devices/me/heartbeat", device.token, **parts)
        beat = answer.json()
        assert (beat["status"], beat["next_heartbeat_sec"], beat["binding_generation"]) == ("ok", 60, 1)
        assert beat["server_time"] == iso(device.world.clock.now_ms())
        assert (beat["commands"], beat["more"], beat["acks"], beat["results"]) == ([], False, [], [])
        assert "seq_floor" not in beat
        assert "grant_keys" not in beat


def test_a_command_is_offered_by_the_next_heartbeat_though_the_one_before_found_none_an_instant_ago(
    device: BoundDevice,
) -> None:
    """The token is believed for a second; that nothing waits is not."""
    assert [device.offered() for _ in range(2)] == [[], []]
    command = device.command()
    assert device.offered() == [command["id"]]


def test_a_device_may_call_itself_me_or_by_its_id_but_never_another(device: BoundDevice) -> None:
    other = device.world.device()
    for path in (f"/v1/devices/me/heartbeat", f"{device.path}/heartbeat"):  # noqa: F541
        assert device.world.call("POST", path, device.token).status_code == 200
    answer = device.world.call("POST", f"{other.path}/heartbeat", device.token)
    assert is_refused(answer, 404, Code.NOT_FOUND)
    assert is_refused(device.world.call("POST", "/v1/devices/me/heartbeat"), 404, Code.NOT_FOUND)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("battery_percent", [0, 100, None], [-1, 101, 50.5, "50", True]),
        ("storage_used_mb", [0, 1.5, 10**12], [-1, "1"]),
        ("storage_total_mb", [0, 64_000], [-0.1, []]),
        ("signal_strength_dbm", [-120, 0], [-201, 101, -70.5]),
        ("firmware_version", ["", "x" * 32], ["x" * 33, 5]),
        ("device_name", ["x" * 64], ["x" * 65, {}]),
        (
            "device_state",
            ["idle", "recording", "syncing", "uploading", "charging", "lowBattery", "storageFull", "error"],
            ["Idle", "", 1],
        ),
        ("pending_recordings", [0, 7], [-1, "7"]),
        ("flags", [0, 255], [-1, 256]),
        ("connection_type", [[], ["wifi"], ["4g", "ble", "wifi"]], ["wifi", ["usb"]]),
        ("grant_kids", [[], ["unknown"]], ["x", [1]]),
        ("replay_state_lost", [True, False], [1, "yes"]),
        ("recording", [None, {"recording_id": "r"}], [{}, {"recording_id": "r", "started_at": "now"}, "rec_1"]),
        ("acks", [[], None], ["cmd_1", {}]),
        ("results", [[], None], [{}, "x"]),
    ],
)
def test_a_field_of_a_heartbeat_is_held_to_its_bounds(
    device: BoundDevice, field: str, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        device.heartbeat(**{field: value})
    before = device.world.get(device.path)
    for value in bad:
        answer = device.world.call("POST", "/v1/devices/me/heartbeat", device.token, json={field: value})
        assert is_refused(answer, 400, Code.INVALID_REQUEST), value
    assert device.world.get(device.path) == before


def test_what_a_heartbeat_leaves_out_stays(device: BoundDevice) -> None:
    device.heartbeat(battery_percent=81, signal_strength_dbm=-60, device_state="idle", firmware_version="2.0", flags=3)
    device.heartbeat(battery_percent=80, device_name="Mine")
    after = device.world.get(device.path)
    assert (after["battery_percent"], after["signal_strength_dbm"], after["firmware_version"]) == (80, -60, "2.0")
    assert (after["recording_state"]["device_state"], after["recording_state"]["flags"]) == ("idle", 3)
    assert after["name"] == "Mine"
    device.world.call("PATCH", device.path, json={"name": "Ours"})
    device.heartbeat(device_name="Mine still")
    assert device.world.get(device.path)["name"] == "Ours"


def test_acks_results_and_offers_are_taken_in_this_order(device: BoundDevice) -> None:
    first, second, third = (device.command("trigger_upload")["id"] for _ in range(3))
    beat = device.heartbeat(acks=[first, second], results=[{"id": first, "status": "executed"}])
    assert beat["acks"] == [{"id": id_, "go": True, "status": "delivered"} for id_ in (first, second)]
    assert beat["results"] == [{"id": first, "ok": True, "status": "executed"}]
    assert [offer["id"] for offer in beat["commands"]] == [third]
    both = device.heartbeat(
        acks=[third], results=[{"id": third, "status": "failed"}, {"id": third, "status": "failed"}]
    )
    assert [item["ok"] for item in both["results"]] == [True, True]
    assert device.story(third) == ["created", "offered", "delivered", "failed"]


def test_each_item_answers_for_itself_and_never_fails_the_heartbeat(device: BoundDevice) -> None:
    other = device.world.device().command()["id"]
    gone, done, good = (device.command("trigger_upload")["id"] for _ in range(3))
    device.world.call("DELETE", f"{device.path}/commands/{gone}")
    device.report(done)
    acks = ["cmd_nobody", other, gone, "dev_1", 5, None, {"id": good}, good]
    results = [
        {"id": "cmd_nobody", "status": "executed"},
        {"id": other, "status": "executed"},
        {"id": done, "status": "failed"},
        {"id": good, "status": "deferred?"},
        {"id": good, "status": "executed", "executed_at": "yesterday"},
        {"id": good, "status": "executed", "result": {"k": "x" * 16_384}},
        {"status": "executed"},
        "executed",
        {"id": good, "status": "executed", "from_the_future": 1},
    ]
    beat = device.heartbeat(acks=acks, results=results, battery_percent=55)
    assert [(item["id"], item["go"], item["status"]) for item in beat["acks"]] == [
        ("cmd_nobody", False, None), (other, False, None), (gone, False, "cancelled"), ("dev_1", False, None),
        (None, False, None), (None, False, None), (None, False, None), (good, True, "delivered"),
    ]  # fmt: skip
    told = [(item["id"], item["ok"], item["status"], item.get("error", {}).get("code")) for item in beat["results"]]
    assert told == [
        ("cmd_nobody", False, None, "not_found"), (other, False, None, "not_found"),
        (done, False, "executed", "result_conflict"), (good, False, None, "invalid_request"),
        (good, False, None, "invalid_request"), (good, False, None, "invalid_request"),
        (None, False, None, "invalid_request"), (None, False, None, "invalid_request"), (good, True, "executed", None),
    ]  # fmt: skip
    assert device.world.get(device.path)["battery_percent"] == 55


def test_a_backend_may_send_the_heartbeat_for_a_device_but_does_not_make_it_online(device: BoundDevice) -> None:
    world, command = device.world, device.command()["id"]
    body = {"battery_percent": 33, "recording": None, "acks": [command]}
    beat = world.call("POST", f"{device.path}/heartbeat", json=body).json()
    assert beat["acks"] == [{"id": command, "go": True, "status": "delivered"}]
    assert device.read(command)["delivery"]["evidence"] == "relay"
    state = world.get(f"{device.path}/state")
    assert (state["online"], state["recording"]["active"], state["battery_percent"]) == (False, None, 33)
    assert (state["recording"]["evidence"], state["last_seen_by"]) == ("relay", "ble")
    assert world.all_events("device.online", device.id) == []


def test_a_device_is_online_for_180_s_or_three_of_its_intervals_after_any_call(device: BoundDevice) -> None:
    world = device.world
    command = device.command(ttl_seconds=3600)["id"]
    began = {"started_at": "2027-01-01T00:00:00Z"}
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/v1/devices/me/heartbeat", {}),
        ("GET", "/v1/devices/me/commands/pending", None),
        ("POST", f"/v1/devices/me/commands/{command}/ack", None),
        ("POST", f"/v1/devices/me/commands/{command}/report", {"status": "executed"}),
        ("POST", "/v1/recordings", began),
        ("POST", "/v1/devices/me/token/refresh", None),
    ]
    for method, path, body in calls:
        assert world.call(method, path, device.token, json=body).status_code in (200, 201)
        world.pass_time(179)
        assert world.get(device.path)["online"] is True
        world.pass_time(1)
        assert world.get(device.path)["online"] is False
    world.call("PATCH", device.path, json={"settings": {"heartbeat_sec": 100}})
    device.heartbeat()
    world.pass_time(299)
    assert world.get(device.path)["online"] is True
    world.pass_time(1)
    assert world.get(device.path)["online"] is False
    world.notice_silence()
    assert len(world.all_events("device.offline", device.id)) == 1
    device.heartbeat()
    world.write_states()
    assert len(world.all_events("device.online", device.id)) == 2


def test_a_poll_without_wait_comes_back_at_once_and_offers_again(device: BoundDevice) -> None:
    assert device.poll() == {"commands": [], "more": False, "server_time": iso(device.world.clock.now_ms())}
    command = device.command()["id"]
    for _ in range(2):
        assert [offer["id"] for offer in device.poll("?wait=0")["commands"]] == [command]


def test_a_poll_that_waits_comes_back_as_soon_as_there_is_a_command(device: BoundDevice) -> None:
    held = device.hold_poll()
    assert device.world.get(device.path)["online"] is True
    command = device.command()["id"]
    assert [offer["id"] for offer in held.result(10).json()["commands"]] == [command]


def test_a_poll_that_waits_comes_back_empty_when_its_time_is_up(device: BoundDevice) -> None:
    held = device.hold_poll(30)
    device.world.pass_time(29, steps=3)
    assert not held.done()
    device.world.pass_time(1)
    assert held.result(10).json()["commands"] == []


@pytest.mark.parametrize("by_key", [False, True], ids=["by the device", "by a backend"])
def test_a_poll_that_waits_is_quiet_about_what_this_route_offered_in_the_last_10_s(
    device: BoundDevice, by_key: bool
) -> None:
    credential = device.world.web.key if by_key else device.token
    command = device.command(ttl_seconds=3600)["id"]
    path = f"{device.path}/commands/pending?wait=60"
    first = device.world.call("GET", path, credential).json()
    assert [offer["id"] for offer in first["commands"]] == [command]
    held = device.hold_poll(credential=credential)
    device.world.pass_time(9)
    assert not held.done()
    device.heartbeat()
    device.world.pass_time(1.5)
    assert [offer["id"] for offer in held.result(10).json()["commands"]] == [command]


@pytest.mark.parametrize("wait", ["-1", "61", "x", "1e1"])
def test_a_poll_waits_0_to_60_seconds(device: BoundDevice, wait: str) -> None:
    answer = device.world.call("GET", f"/v1/devices/me/commands/pending?wait={wait}", device.token)
    assert is_refused(answer, 400, Code.INVALID_REQUEST, "wait")


def test_a_backend_may_poll_acknowledge_and_report_with_evidence_relay(device: BoundDevice) -> None:
    world, key, command = device.world, device.world.web.key, device.command(params={"metadata": {"a": 1}})["id"]
    offers = world.get(f"{device.path}/commands/pending")["commands"]
    assert [offer["id"] for offer in offers] == [command]
    assert "metadata" not in offers[0]["params"]
    assert device.read(command)["delivery"]["route"] == "relay"
    assert device.ack(command, key).json() == {"go": True, "status": "delivered"}
    assert device.read(command)["delivery"]["evidence"] == "relay"
    assert device.report(command, key).json()["delivery"]["evidence"] == "relay"
    assert world.get(device.path)["online"] is False


@pytest.mark.parametrize("code", list(Failure))
def test_every_failure_code_is_taken(device: BoundDevice, code: Failure) -> None:
    error = {"code": code.value, "message": "why"}
    failed = device.report(device.command()["id"], status="failed", error=error).json()
    assert (failed["status"], failed["error"]) == ("failed", error)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"status": "done"}, {"status": "pending"}, {"status": None}, {"status": "executed", "result": []},
        {"status": "executed", "result": {"k": "x" * 16_384}}, {"status": "executed", "executed_at": 5},
        {"status": "executed", "executed_at": "2027-01-01T12:00:00"}, {"status": "failed", "error": "broken"},
        {"status": "failed", "error": {}}, {"status": "failed", "error": {"code": ""}},
    ],
)  # fmt: skip
def test_a_report_that_can_not_be_is_400_and_changes_nothing(device: BoundDevice, body: dict[str, Any]) -> None:
    command = device.command()["id"]
    answer = device.world.call("POST", f"/v1/devices/me/commands/{command}/report", device.token, json=body)
    assert is_refused(answer, 400, Code.INVALID_REQUEST)
    assert device.read(command)["status"] == "pending"


def test_results_are_kept_as_sent(device: BoundDevice) -> None:
    command = device.command()["id"]
    result = {"recording_id": "not an id", "started_at": "no time", "é": ["\u0001", 1.5, None, {"k": "x" * 16_000}]}
    assert device.report(command, result=result).json()["result"] == result
    assert device.read(command)["result"] == result
