"""The seven rules of a command's life, over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from rolltape.codes import Code
from rolltape.wire.times import iso
from tests.api.contract_world import BoundDevice, ContractWorld, claims, open_contract
from tests.api.web_world import NODES, is_refused


@pytest.fixture(scope="module", params=NODES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


def no_go(device: BoundDevice, command: str, status: str) -> bool:
    answer = device.ack(command)
    return is_refused(answer, 409, Code.COMMAND_NO_GO) and answer.json()["error"]["details"]["status"] == status


def test_an_offer_is_not_a_delivery_and_is_made_again_until_it_is_acknowledged(device: BoundDevice) -> None:
    command = device.command()["id"]
    for _ in range(3):
        assert device.offered() == [command]
        assert [offer["id"] for offer in device.poll()["commands"]] == [command]
    assert device.read(command)["status"] == "pending"
    assert device.read(command)["delivered_at"] is None
    device.ack(command)
    assert device.offered() == []
    assert device.poll()["commands"] == []
    assert device.story(command) == ["created", "offered", "offered", "delivered"]


def test_an_acknowledgement_is_a_go_and_may_be_repeated(device: BoundDevice) -> None:
    command = device.command()["id"]
    at = iso(device.world.clock.now_ms())
    for _ in range(2):
        answer = device.ack(command)
        assert (answer.status_code, answer.json()) == (200, {"go": True, "status": "delivered"})
        device.world.pass_time(1)
    assert device.read(command)["delivered_at"] == at
    assert device.story(command) == ["created", "delivered"]


def test_a_command_that_is_over_is_no_go(device: BoundDevice) -> None:
    gone, done, broken, late = (device.command(ttl_seconds=ttl)["id"] for ttl in (300, 300, 300, 1))
    device.world.call("DELETE", f"{device.path}/commands/{gone}")
    device.report(done)
    device.report(broken, status="failed")
    device.world.pass_time(1)
    assert no_go(device, gone, "cancelled")
    assert no_go(device, done, "executed")
    assert no_go(device, broken, "failed")
    assert no_go(device, late, "expired")


def test_a_start_held_back_until_after_its_stop_is_no_go_even_when_it_was_acknowledged(device: BoundDevice) -> None:
    start, upload = device.command()["id"], device.command("trigger_upload")["id"]
    device.ack(start)
    device.command("stop_recording")
    assert no_go(device, start, "delivered")
    assert device.ack(upload).status_code == 200
    assert device.ack(device.command()["id"]).status_code == 200


def test_a_report_without_an_acknowledgement_counts_as_both_in_one_event(device: BoundDevice) -> None:
    command = device.command()["id"]
    at = device.world.clock.now_ms()
    said = iso(at - 3000)
    result = {"recording_id": "rec_1", "started_at": said, "anything": [1, None]}
    answer = device.report(command, executed_at=said, result=result)
    assert answer.status_code == 200
    done = answer.json()
    assert (done["status"], done["result"], done["error"]) == ("executed", result, None)
    assert (done["executed_at"], done["reported_at"], done["delivered_at"]) == (said, iso(at), iso(at))
    assert done["delivery"]["evidence"] == "device"
    assert device.story(command) == ["created", "executed"]
    assert device.history(command)[-1]["previous_status"] == "pending"


def test_a_report_lands_even_on_a_command_that_was_cancelled_or_expired(device: BoundDevice) -> None:
    gone, late, taken = (device.command(ttl_seconds=ttl)["id"] for ttl in (300, 1, 1))
    device.ack(taken)
    device.world.call("DELETE", f"{device.path}/commands/{gone}")
    device.world.pass_time(1)
    assert device.read(taken)["error"]["code"] == "result_not_reported"
    for command, before in ((gone, "cancelled"), (late, "expired"), (taken, "expired")):
        answer = device.report(command, result={"recording_id": "rec_1"})
        assert (answer.status_code, answer.json()["status"], answer.json()["error"]) == (200, "executed", None)
        last = device.history(command)[-1]
        assert (last["type"], last["previous_status"]) == ("command.executed", before)


def test_an_equal_report_is_200_and_no_event(device: BoundDevice) -> None:
    command = device.command()["id"]
    first = device.report(command, result={"a": 1, "b": {"c": 2, "d": 3}}).json()
    device.world.pass_time(5)
    again = device.report(command, result={"b": {"d": 3, "c": 2}, "a": 1}, executed_at="2030-01-01T00:00:00Z")
    assert (again.status_code, again.json()) == (200, first)
    failed = device.command()["id"]
    device.report(failed, status="failed", error={"code": "muted_locally", "message": "one"})
    other_words = {"code": "muted_locally", "message": "two"}
    assert device.report(failed, status="failed", error=other_words).json()["error"]["message"] == "one"
    assert (device.story(command), device.story(failed)) == (["created", "executed"], ["created", "failed"])


@pytest.mark.parametrize(
    "other",
    [
        {"status": "failed"},
        {"status": "executed", "result": {"recording_id": "rec_2"}},
        {"status": "executed"},
    ],
)
def test_a_different_report_is_409_and_the_first_stands(device: BoundDevice, other: dict[str, Any]) -> None:
    command = device.command()["id"]
    first = device.report(command, result={"recording_id": "rec_1"}).json()
    answer = device.report(command, **other)
    assert is_refused(answer, 409, Code.RESULT_CONFLICT)
    assert answer.json()["error"]["details"]["status"] == "executed"
    assert device.read(command) == first
    assert device.story(command) == ["created", "executed"]


def test_stronger_evidence_is_noted_when_equal_and_replaces_when_different(device: BoundDevice) -> None:
    key = device.world.web.key
    equal, different = device.command()["id"], device.command()["id"]
    for command in (equal, different):
        answer = device.report(command, key, result={"recording_id": "rec_1"})
        assert answer.json()["delivery"]["evidence"] == "relay"
    assert device.report(equal, result={"recording_id": "rec_1"}).json()["delivery"]["evidence"] == "device"
    assert device.story(equal) == ["created", "executed"]
    error = {"code": "storage_full", "message": "no room"}
    replaced = device.report(different, status="failed", error=error).json()
    assert (replaced["status"], replaced["error"], replaced["result"]) == ("failed", error, None)
    assert device.history(different)[-1]["previous_status"] == "executed"
    assert is_refused(device.report(different, key), 409, Code.RESULT_CONFLICT)
    assert device.read(equal)["delivery"]["evidence"] == "device"


def test_a_failure_without_an_error_is_internal(device: BoundDevice) -> None:
    command = device.command()["id"]
    failed = device.report(command, status="failed").json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "internal")
    assert failed["reported_at"] is not None
    assert device.report(command, status="failed", error={"code": "internal"}).status_code == 200


@pytest.mark.parametrize("ttl", [1, 7])
def test_time_is_exact_and_no_read_shows_an_open_command_past_it(device: BoundDevice, ttl: int) -> None:
    world = device.world
    world.pass_time(1 - world.clock.now_ms() % 1000 / 1000)
    command, taken = (device.command(ttl_seconds=ttl)["id"] for _ in range(2))
    device.ack(taken)
    world.pass_time(ttl - 0.001)
    assert (device.read(command)["status"], device.read(taken)["status"]) == ("pending", "delivered")
    assert device.offered() == [command]
    world.pass_time(0.001)
    assert device.offered() == []
    listed = world.get(f"{device.path}/commands?status=pending&status=delivered")
    assert listed["data"] == []
    assert device.read(command)["status"] == "expired"
    assert device.read(command)["error"] is None
    assert device.read(taken)["error"]["code"] == "result_not_reported"
    assert device.history(taken)[-1]["previous_status"] == "delivered"


def test_what_is_due_expires_whether_or_not_anyone_looks(device: BoundDevice) -> None:
    command = device.command(ttl_seconds=1)["id"]
    device.world.pass_time(3600)
    assert device.world.expire() >= 1
    assert device.story(command) == ["created", "expired"]


def test_offers_come_oldest_first_after_a_reset_and_then_stops(device: BoundDevice) -> None:
    reset = device.world.web.made(f"{device.path}/reset")["id"]
    upload, stop = device.command("trigger_upload")["id"], device.command("stop_recording")["id"]
    start = device.command()["id"]
    assert device.offered() == [reset, stop, upload, start]
    assert [offer["id"] for offer in device.poll()["commands"]] == [reset, stop, upload, start]


def test_at_most_four_are_offered_and_more_says_so(device: BoundDevice) -> None:
    made = [device.command("trigger_upload")["id"] for _ in range(6)]
    beat = device.heartbeat()
    assert ([offer["id"] for offer in beat["commands"]], beat["more"]) == (made[:4], True)
    found = device.poll()
    assert ([offer["id"] for offer in found["commands"]], found["more"]) == (made[:4], True)
    rest = device.heartbeat(acks=made[:4])
    assert ([offer["id"] for offer in rest["commands"]], rest["more"]) == (made[4:], False)


def test_seq_only_grows_over_resets_and_bindings(device: BoundDevice) -> None:
    seen = [claims(device.command(type_)["grant_token"])["seq"] for type_ in ("start_recording", "stop_recording")]
    device.unbind(force=True)
    device.bind()
    seen.append(claims(device.command()["grant_token"])["seq"])
    floor = device.heartbeat(replay_state_lost=True)["seq_floor"]
    assert floor > seen[-1]
    seen += [floor, claims(device.command()["grant_token"])["seq"]]
    seen.append(claims(device.world.web.made(f"{device.path}/reset")["grant_token"])["seq"])
    assert seen == sorted(set(seen))


def test_every_transition_and_the_first_offer_on_each_route_is_an_event(device: BoundDevice) -> None:
    command = device.command()["id"]
    for _ in range(2):
        device.heartbeat()
        device.poll()
        device.world.call("POST", f"{device.path}/heartbeat")
    device.ack(command)
    device.report(command, result={"recording_id": "rec_1"})
    events = device.history(command)
    kinds = [(event["type"].removeprefix("command."), event.get("previous_status")) for event in events]
    assert kinds == [
        ("created", None), ("offered", None), ("offered", None), ("offered", None), ("delivered", "pending"),
        ("executed", "delivered"),
    ]  # fmt: skip
    assert [event["data"]["delivery"]["route"] for event in events[1:4]] == ["heartbeat", "poll", "relay"]
    statuses = [event["data"]["status"] for event in events]
    assert statuses == ["pending"] * 4 + ["delivered", "executed"]
    assert len({event["id"] for event in events}) == len(events)


def test_from_every_open_state_the_clock_alone_ends_it(device: BoundDevice) -> None:
    fresh, offered, taken = (device.command(ttl_seconds=60)["id"] for _ in range(3))
    device.heartbeat()
    device.ack(taken)
    device.world.pass_time(60)
    assert [device.read(id_)["status"] for id_ in (fresh, offered, taken)] == ["expired"] * 3
