"""Wrong words about commands: each is refused in the one shape and changes nothing; and clocks that jump."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rolltape.codes import Code
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract
from tests.api.web_world import is_refused

DAY = 86_400
LONG = "x" * 10_000
UNCLOSED = b'{"status":"executed"'
"""Inside a heartbeat this spoils the whole; anything else fails alone."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web")) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


@pytest.fixture(params=["device", "backend"])
def credential(request: pytest.FixtureRequest, device: BoundDevice) -> str:
    return device.token if request.param == "device" else device.world.web.key


def test_a_word_about_a_command_that_is_not_there_or_not_yours_is_404(device: BoundDevice, credential: str) -> None:
    other = device.world.device().command()["id"]
    elsewhere = device.world.web.other_project
    for id_ in ("cmd_nobody", other, "cmd_" + "9" * 64):
        assert is_refused(device.ack(id_, credential), 404, Code.NOT_FOUND)
        assert is_refused(device.report(id_, credential), 404, Code.NOT_FOUND)
    mine = device.command()["id"]
    assert is_refused(device.ack(mine, elsewhere), 404, Code.NOT_FOUND)
    assert is_refused(device.report(mine, elsewhere), 404, Code.NOT_FOUND)
    assert device.story(mine) == ["created"]


@pytest.mark.parametrize(
    "id_",
    ["cmd_", "cmd_" + "9" * 65, "cmd_é", "cmd_a%00b", "rec_1", "dev_1", "CMD_1", "cmd_a b", "cmd_a-b", LONG, "%00"],
)
def test_an_id_of_the_wrong_kind_is_404(device: BoundDevice, credential: str, id_: str) -> None:
    assert is_refused(device.ack(id_, credential), 404, Code.NOT_FOUND)
    assert is_refused(device.report(id_, credential), 404, Code.NOT_FOUND)
    assert is_refused(device.world.call("GET", f"{device.path}/commands/{id_}"), 404, Code.NOT_FOUND)
    assert is_refused(device.world.call("DELETE", f"{device.path}/commands/{id_}"), 404, Code.NOT_FOUND)


def test_a_report_on_a_finished_command_changes_nothing(device: BoundDevice, credential: str) -> None:
    command = device.command()["id"]
    done = device.report(command, result={"recording_id": "rec_1"}).json()
    for body in ({"status": "failed"}, {"status": "executed", "result": {"recording_id": "rec_2"}}):
        answer = device.report(command, credential, **body)
        assert is_refused(answer, 409, Code.RESULT_CONFLICT)
        assert answer.json()["error"]["details"]["status"] == "executed"
    assert is_refused(device.ack(command, credential), 409, Code.COMMAND_NO_GO)
    assert device.read(command) == done
    assert device.story(command) == ["created", "executed"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":"executed","result":{"k":"\\u0000"}}',
        b'{"status":"executed","result":{"\\u0000":1}}',
        b'{"status":"executed","result":{"k":"\\ud800"}}',
        b'{"status":"executed","result":{"k":"\xed\xa0\x80"}}',
        b'{"status":"executed","result":{"k":NaN}}',
        b'{"status":"executed","result":{"k":1e999}}',
        b'{"status":"executed","result":{"k":' + b"[" * 65 + b"]" * 65 + b"}}",
        b'{"status":"executed","result":{"k":123456789012345678901234567890}}',
        b'{"status":"failed","error":{"code":"' + LONG.encode() + b'"}}',
        b'{"status":"failed","error":{"code":"a\\u0000"}}',
        b'{"status":"failed","error":{"code":"internal","message":"' + LONG.encode() + b'"}}',
        b'{"status":"executed","executed_at":"' + LONG.encode() + b'"}',
        b'{"status":"executed","executed_at":"2027-02-30T00:00:00Z"}',
        b'{"status":"executed","executed_at":"1969-12-31T23:59:59Z"}',
        b'{"status":"executed"',
        b'[{"status":"executed"}]',
        b'"executed"',
        b"",
    ],
)
def test_a_report_with_what_can_not_be_kept_is_400_alone_and_inside_a_heartbeat(
    device: BoundDevice, body: bytes
) -> None:
    command, good = device.command()["id"], device.command()["id"]
    path = f"/v1/devices/me/commands/{command}/report"
    assert is_refused(device.world.call("POST", path, device.token, content=body), 400, Code.INVALID_REQUEST)
    assert device.story(command) == ["created"]
    item = body.replace(b"{", b'{"id":"' + command.encode() + b'",', 1) or b"null"
    beat = b'{"results":[' + item + b',{"id":"' + good.encode() + b'","status":"executed"}]}'
    answer = device.world.call("POST", "/v1/devices/me/heartbeat", device.token, content=beat)
    if body == UNCLOSED:
        assert is_refused(answer, 400, Code.INVALID_REQUEST)
        assert device.read(good)["status"] == "pending"
    else:
        told = [(item["ok"], item["id"]) for item in answer.json()["results"]]
        assert told[1] == (True, good)
        assert told[0] in ((False, command), (False, None))
    assert set(device.story(command)) <= {"created", "offered"}


@pytest.mark.parametrize(
    "path", ["", "/bind", "/unbind", "/reset", "/heartbeat", "/commands", "/commands/cmd_1/report"]
)
@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"null", b'"x"', b"[" * 50_000, b"\xff\xfe", b'{"x":"\\ud800"}', b'{"k":' * 1000, b'{"a":1}{"a":1}'],
)
def test_a_body_that_is_none_is_400_and_nothing_changes(device: BoundDevice, path: str, body: bytes) -> None:
    command, before = device.command(), device.world.get(device.path)
    method = "POST" if path else "PATCH"
    answer = device.world.call(method, device.path + path, content=body)
    assert is_refused(answer, 400, Code.INVALID_REQUEST)
    assert device.world.get(device.path) == before
    assert [row["id"] for row in device.world.get(f"{device.path}/commands")["data"]] == [command["id"]]


def test_a_replaced_an_ended_and_a_revoked_credential_change_nothing(world: ContractWorld, device: BoundDevice) -> None:
    replaced = device.token
    device.bind()
    device.heartbeat()
    other = world.device()
    other.unbind()
    key = world.web.made("/v1/keys")
    world.call("DELETE", f"/v1/keys/{key['id']}")
    command = device.command()["id"]
    for bad, status in ((replaced, 401), (other.token, 404), (key["key"], 401), ("dtok_" + "A" * 43, 401)):
        assert device.ack(command, bad).status_code == status
        assert device.report(command, bad).status_code == status
    assert device.story(command) == ["created"]


def test_a_heartbeat_of_1000_acks_and_1000_reports_lands_the_right_ones(device: BoundDevice) -> None:
    mine = [device.command("trigger_upload")["id"] for _ in range(100)]
    acks: list[Any] = [mine[i // 2 % 100] if i % 2 else f"cmd_wrong{i}" for i in range(1000)]
    results: list[Any] = [
        {"id": mine[i // 2], "status": "executed"} if i % 2 and i < 200 else {"id": f"cmd_wrong{i}", "status": "failed"}
        for i in range(1000)
    ]
    beat = device.heartbeat(acks=acks, results=results, battery_percent=1)
    assert [item["go"] for item in beat["acks"]] == [False, True] * 500
    assert [item["ok"] for item in beat["results"]] == [False, True] * 100 + [False] * 800
    assert all(device.story(id_) == ["created", "delivered", "executed"] for id_ in mine[::9])
    assert device.world.get(device.path)["battery_percent"] == 1
    for field in ("acks", "results"):
        over = device.world.call("POST", "/v1/devices/me/heartbeat", device.token, json={field: ["x"] * 1001})
        assert is_refused(over, 400, Code.INVALID_REQUEST, field)


def race(*steps: Callable[[], Any]) -> list[Any]:
    """The answers of all steps, begun at the same instant."""
    ready = threading.Barrier(len(steps))

    def run(step: Callable[[], Any]) -> Any:
        ready.wait(10)
        return step()

    with ThreadPoolExecutor(len(steps)) as pool:
        return [running.result(20) for running in [pool.submit(run, step) for step in steps]]


@pytest.mark.parametrize("_", range(5))
def test_a_cancel_and_an_acknowledgement_at_once_have_one_winner(device: BoundDevice, _: int) -> None:
    command = device.command()["id"]
    path = f"{device.path}/commands/{command}"
    answers = race(lambda: device.ack(command), lambda: device.world.call("DELETE", path))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert device.story(command) == ["created", "delivered" if answers[0].status_code == 200 else "cancelled"]


@pytest.mark.parametrize("_", range(3))
def test_two_reports_at_once_have_one_winner(device: BoundDevice, _: int) -> None:
    command = device.command()["id"]
    answers = race(*(lambda n=n: device.report(command, result={"n": n}) for n in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    assert device.story(command) == ["created", "executed"]


def test_the_clock_jumps_forward_and_what_is_due_is_over(world: ContractWorld, device: BoundDevice) -> None:
    command = device.command()["id"]
    held = device.world.device().hold_poll(30)
    world.clock.step_wall(10 * DAY)
    assert device.offered() == []
    assert device.read(command)["status"] == "expired"
    assert not held.done()
    world.pass_time(30)
    assert held.result(10).json()["commands"] == []


def test_the_clock_jumps_back_and_nothing_is_lost_or_comes_to_life(world: ContractWorld, device: BoundDevice) -> None:
    over, open_ = device.command(ttl_seconds=1)["id"], device.command(ttl_seconds=DAY)["id"]
    world.pass_time(5)
    assert device.poll()["commands"][0]["id"] == open_
    assert device.read(over)["status"] == "expired"
    world.clock.step_wall(-3600)
    assert device.offered() == [open_]
    assert device.poll("?wait=1")["commands"][0]["id"] == open_
    assert device.read(over)["status"] == "expired"
    assert is_refused(device.ack(over), 409, Code.COMMAND_NO_GO)
    newer = device.command()["id"]
    assert device.offered() == [open_, newer]
    assert device.ack(open_).status_code == 200
    assert device.report(open_).status_code == 200
    assert [row["id"] for row in world.get(f"{device.path}/commands")["data"]] == [newer, open_, over]
    world.clock.step_wall(3600)


@pytest.mark.parametrize("when", ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2027-01-01T12:00:00+14:00"])
def test_a_devices_clock_may_say_anything_and_its_recording_still_holds_the_binding(
    device: BoundDevice, when: str
) -> None:
    start = device.command()["id"]
    result = {"recording_id": "rec_1", "started_at": when}
    assert device.report(start, executed_at=when, result=result).status_code == 200
    assert is_refused(device.unbind(), 409, Code.DEVICE_RECORDING)
    device.world.pass_time(3600)
    assert device.unbind().status_code == 200
