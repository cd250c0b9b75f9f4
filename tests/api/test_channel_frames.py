"""What a device may say on its channel, what it is answered, and what comes of frames that are wrong."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.channel_world import Live, offers
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web")) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


@pytest.fixture
def silent(world: ContractWorld, device: BoundDevice) -> Iterator[Live]:
    """A channel before its hello."""
    live = Live(world, device.token)
    yield live
    live.close()


@pytest.fixture
def live(silent: Live) -> Live:
    """A channel after it."""
    silent.hello()
    return silent


# Hello


def test_the_answer_to_hello_is_that_to_a_heartbeat_with_the_channels_own_times(
    world: ContractWorld, device: BoundDevice, silent: Live
) -> None:
    said = silent.hello(battery_percent=7, firmware_version="9.9")
    assert (said["v"], said["ping_sec"], said["silence_sec"]) == (1, 25, 90)
    assert (said["status"], said["commands"], said["binding_generation"]) == ("ok", [], 1)
    assert (said["device_id"], said["grant_iss"]) == (device.id, world.web.app.vault.iss)
    seen = world.get(device.path)
    assert (seen["battery_percent"], seen["firmware_version"], seen["online"]) == (7, "9.9", True)


def test_a_hello_takes_acks_and_results_as_a_heartbeat_does(device: BoundDevice, silent: Live) -> None:
    taken, done = device.command("trigger_upload")["id"], device.command("trigger_upload")["id"]
    said = silent.hello(acks=[taken, 5], results=[{"id": done, "status": "executed"}, {}], have=[taken, done])
    assert [(each["id"], each["go"]) for each in said["acks"]] == [(taken, True), (None, False)]
    assert [each["ok"] for each in said["results"]] == [True, False]
    assert silent.so_far() == []
    assert device.read(taken)["delivery"]["route"] == "channel"


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "ping"},
        {"type": "ack", "id": "cmd_1"},
        {"type": "of_another_age"},
        {"v": 1},
        [],
        "hello",
    ],
)
def test_whatever_comes_before_hello_ends_the_channel(silent: Live, frame: Any) -> None:
    silent.raw(json.dumps(frame))
    assert silent.ended().code == 4400


@pytest.mark.parametrize(
    "fields", [{}, {"v": 2}, {"v": "1"}, {"v": 1, "have": "cmd_1"}, {"v": 1, "have": ["x"] * 1001}]
)
def test_a_hello_that_is_none_is_told_why_before_the_channel_ends(silent: Live, fields: dict[str, Any]) -> None:
    silent.say(type="hello", **fields)
    said = silent.next()
    assert (said["type"], said["code"], said["in"]) == ("error", "invalid_request", "hello")
    assert silent.ended().code == 4400


def test_a_second_hello_is_an_error_and_nothing_more(live: Live) -> None:
    live.say(type="hello", v=1)
    said = live.next()
    assert (said["type"], said["code"], said["in"]) == ("error", "invalid_request", "hello")
    assert live.so_far() == []


def test_what_a_newer_device_adds_is_passed_over(silent: Live) -> None:
    silent.hello(of_another_age={"x": [1]}, flags=3)
    silent.say(type="of_another_age", id="cmd_1")
    silent.say(type="ping", ref="a", of_another_age=True)
    assert silent.next() == {"type": "pong", "ref": "a"}


# What is wrong


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", None),
        ("{", None),
        ("nothing", None),
        ("[]", None),
        ('"ping"', None),
        ("{}", None),
        ('{"type": 5}', None),
        ('{"type": null}', None),
        ('{"Type": "ping"}', None),
        ('{"type": "ping"} x', None),
        ('{"type": "ping", "ref": NaN}', None),
        ("[" * 100_000, None),
        ('{"type":"heartbeat","x":' + "[" * 100_000, None),
        ('{"type": "ack"}', "ack"),
        ('{"type": "ack", "id": 5}', "ack"),
        ('{"type": "ack", "id": "' + "c" * 129 + '"}', "ack"),
        ('{"type": "ping", "ref": {"a": 1}}', "ping"),
        ('{"type": "ping", "ref": 1e300}', "ping"),
        ('{"type": "heartbeat", "battery_percent": 101}', "heartbeat"),
        ('{"type": "heartbeat", "battery_percent": "50"}', "heartbeat"),
        ('{"type": "heartbeat", "acks": "cmd_1"}', "heartbeat"),
        ('{"type": "heartbeat", "device_name": "a\\u0000b"}', "heartbeat"),
        ('{"type": "heartbeat", "recording": {"recording_id": "r", "started_at": "soon"}}', "heartbeat"),
        ('{"type": "report", "id": "cmd_1"}', "report"),
        ('{"type": "report", "id": "cmd_1", "status": "expired"}', "report"),
        ('{"type": "report", "id": "cmd_1", "status": "executed", "result": []}', "report"),
        ('{"type": "report", "id": "cmd_1", "status": "executed", "result": {"a": "\\u0000"}}', "report"),
    ],
    ids=range(27),
)
def test_a_wrong_frame_is_an_error_and_the_channel_goes_on(live: Live, text: str, kind: str | None) -> None:
    live.raw(text)
    said = live.next()
    assert (said["type"], said["code"], said.get("in")) == ("error", "invalid_request", kind)
    assert live.so_far() == []


def test_an_error_gives_back_the_marks_of_its_frame(live: Live) -> None:
    live.say(type="report", id="cmd_1", status="maybe", ref="r-1")
    said = live.next()
    assert (said["in"], said["id"], said["ref"]) == ("report", "cmd_1", "r-1")


def test_a_wrong_item_fails_alone_also_where_no_json_can_hold_it(device: BoundDevice, live: Live) -> None:
    good = device.command("trigger_upload")["id"]
    live.answer("offer")
    broken = '{"id": "cmd_1", "status": "failed", "error": {"code": "x", "message": "\\ud800"}}'
    live.raw(f'{{"type": "heartbeat", "ref": 7, "acks": ["{good}", "\\ud800"], "results": [{broken}]}}')
    said = live.answer("heartbeat")
    assert said["ref"] == 7
    assert [each["go"] for each in said["acks"]] == [True, False]
    assert [(each["id"], each["ok"]) for each in said["results"]] == [("cmd_1", False)]


def test_binary_frames_end_the_channel(live: Live) -> None:
    live.raw(b'{"type": "ping"}')
    assert live.ended().code == 1003


def test_a_mebibyte_is_taken_and_more_ends_the_channel(live: Live) -> None:
    frame = '{"type": "ping", "ref": 1, "x": ""}'
    live.raw(frame.replace('""', '"' + "x" * (1024 * 1024 - len(frame)) + '"'))
    assert live.next() == {"type": "pong", "ref": 1}
    live.raw(frame.replace('""', '"' + "x" * (1024 * 1024 - len(frame) + 1) + '"'))
    assert live.ended().code == 1009


def test_a_message_in_pieces_is_one_frame(live: Live) -> None:
    live.line.send(iter(['{"type":', ' "ping"', ', "ref": "p"}']))
    assert live.next() == {"type": "pong", "ref": "p"}


def test_text_that_is_no_utf_8_ends_the_channel(live: Live) -> None:
    live.line.send(b'{"type": "\xff"}', text=True)
    assert live.ended().code == 1007


# Ack and report


def test_an_ack_is_answered_with_go_and_again_and_then_with_no_go(device: BoundDevice, live: Live) -> None:
    command = device.command()["id"]
    offer = live.answer("offer")["command"]
    assert offer["grant_token"] == device.read(command)["grant_token"]
    for _ in range(2):
        assert live.ack(command) == {"type": "go", "id": command, "status": "delivered"}
    assert live.report(command) == {"type": "report", "id": command, "ok": True, "status": "executed"}
    assert live.ack(command) == {"type": "no_go", "id": command, "status": "executed"}
    assert live.so_far() == []
    assert device.story(command) == ["created", "offered", "delivered", "executed"]
    assert device.read(command)["delivery"]["route"] == "channel"


def test_a_report_that_says_otherwise_is_told_what_stands(device: BoundDevice, live: Live) -> None:
    command = device.command()["id"]
    live.report(command)
    said = live.report(command, status="failed", error={"code": "internal", "message": ""})
    assert (said["ok"], said["status"], said["error"]["code"]) == (False, "executed", "result_conflict")


@pytest.mark.parametrize("id_", ["cmd_0000000000000000000000", "", "rec_1", "cmd_é", "cmd_" + "x" * 100])
def test_what_is_no_command_of_this_device_is_no_go(live: Live, id_: str) -> None:
    assert live.ack(id_) == {"type": "no_go", "id": id_, "status": None}
    said = live.report(id_)
    assert (said["ok"], said["status"], said["error"]["code"]) == (False, None, "not_found")


def test_another_devices_command_is_not_there(world: ContractWorld, live: Live) -> None:
    other = world.device()
    theirs = other.command()["id"]
    assert live.ack(theirs) == {"type": "no_go", "id": theirs, "status": None}
    assert live.report(theirs)["status"] is None
    assert other.read(theirs)["status"] == "pending"


def test_a_heartbeat_says_how_the_device_is_and_offers_nothing_in_its_answer(
    world: ContractWorld, device: BoundDevice, live: Live
) -> None:
    command = device.command("trigger_upload")["id"]
    live.answer("offer")
    live.say(type="heartbeat", ref="b", battery_percent=3, recording=None, replay_state_lost=True)
    said = live.answer("heartbeat")
    assert (said["ref"], said["commands"], said["more"]) == ("b", [], False)
    assert said["seq_floor"] > 1
    assert world.get(f"{device.path}/state")["battery_percent"] == 3
    live.say(type="heartbeat", acks=[command], results=[{"id": command, "status": "executed"}])
    said = live.answer("heartbeat")
    assert [each["status"] for each in said["acks"] + said["results"]] == ["delivered", "executed"]
    assert device.read(command)["delivery"]["route"] == "channel"


def test_a_thousand_acks_are_each_answered(device: BoundDevice, live: Live) -> None:
    command = device.command("trigger_upload")["id"]
    live.answer("offer")
    for _ in range(1000):
        live.say(type="ack", id=command)
    assert [frame["type"] for frame in live.so_far()] == ["go"] * 1000
    live.say(type="heartbeat", acks=[command] * 1000)
    assert [each["go"] for each in live.answer("heartbeat")["acks"]] == [True] * 1000
    live.say(type="heartbeat", ref=2, acks=[command] * 1001)
    assert live.answer("error", ref=2)["code"] == "invalid_request"
    assert device.story(command) == ["created", "offered", "delivered"]


def test_frames_that_come_twice_or_out_of_order_change_nothing_twice(device: BoundDevice, live: Live) -> None:
    command = device.command("trigger_upload")["id"]
    live.answer("offer")
    for _ in range(2):
        live.say(type="report", id=command, status="executed")
    live.say(type="ack", id=command)
    said = [(frame["type"], frame["status"]) for frame in live.so_far()]
    assert said == [("report", "executed"), ("report", "executed"), ("no_go", "executed")]
    assert device.story(command) == ["created", "offered", "executed"]


# Offers


def test_four_are_offered_and_the_next_follows_an_ack_or_a_report(device: BoundDevice, live: Live) -> None:
    made = [device.command("trigger_upload")["id"] for _ in range(7)]
    assert offers(live.so_far()) == made[:4]
    live.ack(made[0])
    assert offers(live.so_far()) == made[4:5]
    live.report(made[1])
    assert offers(live.so_far()) == made[5:6]
    live.say(type="heartbeat", acks=[made[2]])
    assert offers(live.so_far()) == made[6:]


def test_a_command_for_another_device_is_not_heard_here(world: ContractWorld, live: Live) -> None:
    world.device().command()
    assert live.so_far() == []
