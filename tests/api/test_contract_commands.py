"""Creating, reading, listing and cancelling commands: each row of their tables, and the fields of the object."""

from collections.abc import Iterator
from typing import Any

import pytest

from rolltape.codes import Code
from rolltape.wire.times import iso
from tests.api.contract_world import BoundDevice, ContractWorld, claims, open_contract, seconds_between
from tests.api.web_world import NODES, is_refused

FIELDS = {
    "id", "device_id", "type", "status", "params", "grant_token", "result", "error", "expires_at", "delivered_at",
    "executed_at", "created_at", "reported_at", "may_still_run_until", "delivery",
}  # fmt: skip
START_DEFAULTS = {"max_duration_sec": 3600, "upload_immediately": True}


@pytest.fixture(scope="module", params=NODES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


def create(device: BoundDevice, query: str = "", **body: Any) -> Any:
    return device.world.call("POST", f"{device.path}/commands{query}", json=body)


def test_a_new_command_is_pending_with_all_its_fields(device: BoundDevice) -> None:
    answer = create(device, type="start_recording")
    assert answer.status_code == 201
    command = answer.json()
    assert set(command) == FIELDS
    assert (command["device_id"], command["type"], command["status"]) == (device.id, "start_recording", "pending")
    assert command["params"] == START_DEFAULTS
    names = ("result", "error", "delivered_at", "executed_at", "reported_at", "may_still_run_until")
    assert [command[name] for name in names] == [None] * 6
    assert command["delivery"] == {
        "route": None, "offers": 0, "last_offered_at": None, "next_contact_at": None, "evidence": None
    }  # fmt: skip
    assert "Idempotent-Replayed" not in answer.headers
    assert device.read(command["id"]) == command


@pytest.mark.parametrize("type_", ["stop_recording", "trigger_upload"])
def test_the_other_types_take_no_params(device: BoundDevice, type_: str) -> None:
    nothing: list[Any] = [None, {}]
    for params in nothing:
        assert create(device, type=type_, params=params).json()["params"] == {}
    for name in ("max_duration_sec", "upload_immediately", "metadata"):
        answer = create(device, type=type_, params={name: 1, "zzz": 2})
        assert is_refused(answer, 400, Code.INVALID_REQUEST)
        assert name in answer.json()["error"]["message"]
        assert "zzz" in answer.json()["error"]["message"]


@pytest.mark.parametrize("type_", ["factory_reset", "", "Start_recording", "make_coffee", None, 5, ["start_recording"]])
def test_another_type_is_400_and_a_reset_only_by_its_own_call(device: BoundDevice, type_: Any) -> None:
    assert is_refused(create(device, type=type_), 400, Code.INVALID_REQUEST, "type")
    assert device.world.get(f"{device.path}/commands")["data"] == []


@pytest.mark.parametrize(
    ("params", "ok"),
    [
        ({"max_duration_sec": 1}, True),
        ({"max_duration_sec": 86_400}, True),
        ({"upload_immediately": False}, True),
        ({"metadata": {}}, True),
        ({"metadata": {"k": "x" * (16_384 - 8)}}, True),
        ({"metadata": {"k": "x" * (16_384 - 7)}}, False),
        ({"max_duration_sec": 0}, False),
        ({"max_duration_sec": 86_401}, False),
        ({"max_duration_sec": "60"}, False),
        ({"max_duration_sec": True}, False),
        ({"max_duration_sec": 1.5}, False),
        ({"max_duration_sec": None}, False),
        ({"upload_immediately": 1}, False),
        ({"metadata": "x"}, False),
        ({"metadata": []}, False),
    ],
)
def test_the_params_of_a_start_are_held_to_their_bounds(device: BoundDevice, params: dict[str, Any], ok: bool) -> None:
    answer = create(device, type="start_recording", params=params)
    if ok:
        assert answer.json()["params"] == {**START_DEFAULTS, **params}
    else:
        assert is_refused(answer, 400, Code.INVALID_REQUEST, f"params.{next(iter(params))}")


@pytest.mark.parametrize("ttl", [1, 300, 604_800])
def test_a_ttl_counts_from_creation_and_is_rounded_up_to_a_whole_second(device: BoundDevice, ttl: int) -> None:
    device.world.pass_time(0.25)
    command = device.command(ttl_seconds=ttl)
    assert ttl <= seconds_between(command["created_at"], command["expires_at"]) < ttl + 1
    assert command["expires_at"].endswith(".000Z")
    assert claims(command["grant_token"])["exp"] % 1 == 0


def test_without_a_ttl_it_is_300_seconds(world: ContractWorld, device: BoundDevice) -> None:
    world.pass_time(1 - world.clock.now_ms() % 1000 / 1000)
    command = device.command()
    assert seconds_between(command["created_at"], command["expires_at"]) == 300


@pytest.mark.parametrize("ttl", [0, 604_801, -1, "300", 1.5, None, True])
def test_another_ttl_is_400(device: BoundDevice, ttl: Any) -> None:
    answer = create(device, type="start_recording", ttl_seconds=ttl)
    assert is_refused(answer, 400, Code.INVALID_REQUEST, "ttl_seconds")


def test_an_unbound_device_is_409_and_an_unknown_one_404(world: ContractWorld) -> None:
    id_ = world.web.made("/v1/devices", serial_number="unbound")["id"]
    for type_ in ("start_recording", "stop_recording"):
        answer = world.call("POST", f"/v1/devices/{id_}/commands", json={"type": type_})
        assert is_refused(answer, 409, Code.DEVICE_NOT_BOUND)
        assert answer.json()["error"]["details"]["status"] == "unbound"
    answer = world.call("POST", "/v1/devices/dev_nobody/commands", json={"type": "start_recording"})
    assert is_refused(answer, 404, Code.NOT_FOUND)


def test_over_100_open_commands_only_stops_and_resets_are_taken(device: BoundDevice) -> None:
    for _ in range(99):
        create(device, type="trigger_upload")
    last = create(device, type="start_recording", idempotency_key="last")
    assert last.status_code == 201
    for type_ in ("start_recording", "trigger_upload"):
        answer = create(device, type=type_)
        assert is_refused(answer, 409, Code.COMMAND_QUEUE_FULL)
        assert answer.json()["error"]["details"]["status"] == "bound"
    assert create(device, type="start_recording", idempotency_key="last").status_code == 200
    assert create(device, type="stop_recording").status_code == 201
    assert device.world.call("POST", f"{device.path}/reset").status_code == 201


def test_a_stop_clears_the_way(device: BoundDevice) -> None:
    kinds = ("start_recording", "start_recording", "stop_recording", "trigger_upload")
    first, start, stop, upload = (device.command(type_)["id"] for type_ in kinds)
    assert device.read(start)["status"] == "cancelled"  # the first stop did that
    device.command("start_recording")
    late = device.command("start_recording")["id"]
    device.ack(late)
    device.command("stop_recording")
    for id_ in (first, start, stop):
        command = device.read(id_)
        assert (command["status"], command["error"]["code"]) == ("cancelled", "superseded")
        assert device.history(id_)[-1]["previous_status"] == "pending"
    assert [device.read(id_)["status"] for id_ in (late, upload)] == ["delivered", "pending"]


def test_a_list_of_commands_is_filtered_by_any_of_its_statuses_and_by_type(device: BoundDevice) -> None:
    start, upload, stop = (device.command(type_) for type_ in ("start_recording", "trigger_upload", "stop_recording"))
    device.report(upload["id"])

    def found(query: str) -> list[str]:
        return [command["id"] for command in device.world.get(f"{device.path}/commands?{query}")["data"]]

    assert found("") == [stop["id"], upload["id"], start["id"]]
    assert found("status=pending") == [stop["id"]]
    assert found("status=executed&status=cancelled") == [upload["id"], start["id"]]
    assert found("status=failed") == []
    assert found("type=trigger_upload") == [upload["id"]]
    assert found("type=factory_reset") == []
    assert found("type=stop_recording&status=pending&status=pending") == [stop["id"]]
    page = device.world.get(f"{device.path}/commands?status=executed&status=cancelled&limit=1")
    path = f"{device.path}/commands?status=cancelled&status=executed&limit=1&cursor={page['next_cursor']}"
    assert [command["id"] for command in device.world.get(path)["data"]] == [start["id"]]
    other = device.world.device()
    for stolen in (f"{other.path}/commands", f"{device.path}/commands?type=stop_recording"):
        sign = "&" if "?" in stolen else "?"
        answer = device.world.call("GET", f"{stolen}{sign}cursor={page['next_cursor']}")
        assert is_refused(answer, 400, Code.INVALID_REQUEST, "cursor")


@pytest.mark.parametrize("query", ["status=done", "status=pending&status=open", "type=coffee", "online=true"])
def test_an_unknown_filter_or_value_is_400(device: BoundDevice, query: str) -> None:
    assert is_refused(device.world.call("GET", f"{device.path}/commands?{query}"), 400, Code.INVALID_REQUEST)


def test_another_devices_command_is_404(device: BoundDevice) -> None:
    other = device.world.device()
    command = other.command()["id"]
    for method, rest in [("GET", ""), ("DELETE", ""), ("GET", "/events"), ("POST", "/ack"), ("POST", "/report")]:
        parts: dict[str, Any] = {"json": {"status": "executed"}} if rest == "/report" else {}
        answer = device.world.call(method, f"{device.path}/commands/{command}{rest}", **parts)
        assert is_refused(answer, 404, Code.NOT_FOUND), rest
    assert other.read(command)["status"] == "pending"


def test_only_a_pending_command_is_cancelled_and_twice_is_fine(device: BoundDevice) -> None:
    path = f"{device.path}/commands"
    command = device.command()["id"]
    for _ in range(2):
        answer = device.world.call("DELETE", f"{path}/{command}")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert device.story(command) == ["created", "cancelled"]
    taken, done, late = (device.command(ttl_seconds=ttl)["id"] for ttl in (300, 300, 1))
    device.ack(taken)
    device.report(done)
    device.world.pass_time(2)
    for id_, status in ((taken, "delivered"), (done, "executed"), (late, "expired")):
        answer = device.world.call("DELETE", f"{path}/{id_}")
        assert is_refused(answer, 409, Code.COMMAND_NOT_CANCELLABLE)
        assert answer.json()["error"]["details"]["status"] == status
    assert is_refused(device.world.call("DELETE", f"{path}/cmd_nobody"), 404, Code.NOT_FOUND)


def test_the_history_is_a_list_oldest_first_in_pages(device: BoundDevice) -> None:
    command = device.command()["id"]
    device.heartbeat()
    device.ack(command)
    device.report(command, result={"recording_id": "rec_1"})
    assert device.story(command) == ["created", "offered", "delivered", "executed"]
    page = device.world.get(f"{device.path}/commands/{command}/events?limit=3")
    assert [event["type"] for event in page["data"]] == ["command.created", "command.offered", "command.delivered"]
    path = f"{device.path}/commands/{command}/events?cursor={page['next_cursor']}"
    last = device.world.get(path)
    assert (len(last["data"]), last["has_more"], last["next_cursor"]) == (1, False, None)
    event = last["data"][0]
    assert set(event) == {"id", "type", "created_at", "data", "previous_status"}
    assert event["id"].startswith("evt_")
    assert event["data"] == device.read(command)
    assert all(event["data"]["grant_token"] is None for event in device.history(command))


def test_a_grant_is_shown_only_to_who_may_act_and_only_while_the_command_is_open(
    world: ContractWorld, device: BoundDevice
) -> None:
    command = device.command()
    assert command["grant_token"]
    assert device.read(command["id"])["grant_token"] == command["grant_token"]
    for path in (f"{device.path}/commands/{command['id']}", f"{device.path}/commands"):
        seen = world.call("GET", path, world.web.reader).json()
        assert seen.get("data", [seen])[0]["grant_token"] is None
    device.ack(command["id"])
    assert device.read(command["id"])["grant_token"] == command["grant_token"]
    assert device.report(command["id"]).json()["grant_token"] is None
    assert device.read(command["id"])["grant_token"] is None


def test_an_offered_start_tells_until_when_it_may_still_run(device: BoundDevice) -> None:
    silent, offered, upload = device.command(), device.command(), device.command("trigger_upload")
    device.world.call("DELETE", f"{device.path}/commands/{silent['id']}")
    device.heartbeat()
    for command in (offered, upload):
        device.world.call("DELETE", f"{device.path}/commands/{command['id']}")
    assert device.read(silent["id"])["may_still_run_until"] is None
    assert device.read(upload["id"])["may_still_run_until"] is None
    assert device.read(offered["id"])["may_still_run_until"] == offered["expires_at"]
    device.world.pass_time(301)
    assert device.read(offered["id"])["may_still_run_until"] is None
    done = device.command()
    device.heartbeat()
    assert device.read(done["id"])["may_still_run_until"] == done["expires_at"]
    device.report(done["id"], status="failed")
    assert device.read(done["id"])["may_still_run_until"] is None


def test_delivery_tells_by_which_route_how_often_and_when_the_device_is_expected(device: BoundDevice) -> None:
    world, command = device.world, device.command(ttl_seconds=3600)["id"]
    device.heartbeat()
    world.write_states()
    at = world.clock.now_ms()
    assert device.read(command)["delivery"] == {
        "route": "heartbeat", "offers": 1, "last_offered_at": iso(at), "next_contact_at": iso(at + 60_000),
        "evidence": "offered",
    }  # fmt: skip
    world.pass_time(20)
    device.poll()
    delivery = device.read(command)["delivery"]
    assert (delivery["route"], delivery["offers"]) == ("poll", 2)
    assert delivery["last_offered_at"] == iso(at + 20_000)
    device.ack(command)
    assert device.read(command)["delivery"]["evidence"] == "device"
    world.pass_time(60)
    assert device.read(command)["delivery"]["next_contact_at"] is None
