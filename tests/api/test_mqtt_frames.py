"""What a device says by way of a broker, what it is told, and what is refused; on a real Mosquitto."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rolltape.wire.mqtt import FRAME_LIMITS, topic
from tests.api.contract_world import ContractWorld, claims, open_contract
from tests.api.mqtt_world import Frame, MqttDevice, offers, routes, settle, until_up
from tests.api.web_world import NODES, Kind
from tests.brokers import Broker, mosquitto, needs_mosquitto

pytestmark = needs_mosquitto


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module", params=NODES)
def world(
    request: pytest.FixtureRequest, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ContractWorld]:
    kind: Kind = request.param
    with open_contract(tmp_path_factory.mktemp("web"), store=kind, mqtt=broker.url) as world:
        until_up(world)
        yield world


@pytest.fixture
def line(world: ContractWorld, broker: Broker) -> Iterator[MqttDevice]:
    line = MqttDevice(broker, world.device())
    yield line
    line.close()


def here(world: ContractWorld, line: MqttDevice) -> MqttDevice:
    """The device after its first word, of which every node knows."""
    assert line.beat()["type"] == "heartbeat"
    world.write_states()
    return line


def sweep(world: ContractWorld) -> None:
    """What the workers do each second."""

    async def look() -> None:
        for route in routes(world):
            route.sweep()

    world.web.run(look())


def refused(frame: Frame) -> tuple[str, str, str | None]:
    return frame["type"], frame["code"], frame.get("in")


# Told without being asked


def test_a_new_command_is_pushed_at_once_and_once(world: ContractWorld, line: MqttDevice) -> None:
    command = here(world, line).device.command()
    frame = line.answer("offer")
    assert (frame["command"]["id"], frame["gen"], frame["on"]) == (command["id"], line.generation, line.topic("offer"))
    assert claims(frame["command"]["grant_token"])["gen"] == line.generation
    assert offers(line.so_far(world)) == []
    told = line.device.read(command["id"])
    assert (told["status"], told["delivery"]["route"], told["delivery"]["offers"]) == ("pending", "channel", 1)
    assert line.device.story(command["id"]) == ["created", "offered"]


def test_an_offer_is_sure_expires_with_its_command_and_is_not_kept_by_the_broker(
    world: ContractWorld, line: MqttDevice, broker: Broker
) -> None:
    met = []
    here(world, line).client.on_message = lambda *said: met.append(said[2])
    line.device.command(ttl_seconds=77)
    settle(world)
    late = MqttDevice(broker, line.device, client_id="another")
    while not met:
        late.client.loop_misc()
    (message,) = met
    assert (message.qos, message.retain) == (1, False)
    assert 70 <= message.properties.MessageExpiryInterval <= 77
    assert late.so_far(world) == []
    late.close()


def test_nothing_is_pushed_to_a_device_that_never_came_by_the_broker(world: ContractWorld, line: MqttDevice) -> None:
    line.device.heartbeat()
    command = line.device.command()
    assert line.so_far(world) == []
    assert line.device.story(command["id"]) == ["created"]


def test_nothing_more_is_pushed_to_a_device_that_went_silent_until_it_speaks(
    world: ContractWorld, line: MqttDevice
) -> None:
    here(world, line)
    world.pass_time(181)
    command = line.device.command()
    assert line.so_far(world) == []
    line.beat()
    assert offers(line.so_far(world)) == [command["id"]]


def test_an_offer_that_nobody_takes_is_made_again_ever_more_rarely(world: ContractWorld, line: MqttDevice) -> None:
    here(world, line)
    command = line.device.command(ttl_seconds=3600)
    assert offers(line.so_far(world)) == [command["id"]]
    pushed = []
    for _ in range(120):
        world.pass_time(1)
        sweep(world)
        settle(world)
        pushed.append(line.device.read(command["id"])["delivery"]["offers"])
    gaps = [pushed.count(times) for times in sorted(set(pushed))[1:-1]]
    assert pushed[8] == 1
    assert pushed[12] == 2
    assert gaps == sorted(gaps)
    assert 3 <= pushed[-1] <= 5


def test_what_is_cancelled_is_taken_back(world: ContractWorld, line: MqttDevice) -> None:
    command = here(world, line).device.command()
    line.answer("offer")
    assert world.call("DELETE", f"{line.device.path}/commands/{command['id']}").status_code == 200
    frame = line.answer("revoked")
    assert (frame["id"], frame["status"], frame["on"]) == (command["id"], "cancelled", line.topic("offer"))


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)  # each node has its own four
def test_a_stop_comes_though_four_others_are_not_taken(world: ContractWorld, line: MqttDevice) -> None:
    here(world, line)
    first = [line.device.command("trigger_upload")["id"] for _ in range(5)]
    assert offers(line.so_far(world)) == first[:4]
    stop = line.device.command("stop_recording")["id"]
    assert offers(line.so_far(world)) == [stop]


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)  # each node has its own four
def test_what_waited_comes_as_others_are_taken(world: ContractWorld, line: MqttDevice) -> None:
    here(world, line)
    made = [line.device.command("trigger_upload")["id"] for _ in range(6)]
    assert offers(line.so_far(world)) == made[:4]
    assert [line.ack(id_)["type"] for id_ in made[:2]] == ["go", "go"]
    world.pass_time(11)
    line.beat()
    assert set(offers(line.so_far(world))) >= set(made[4:])


def test_a_device_that_has_just_connected_is_offered_all_that_it_does_not_hold(
    world: ContractWorld, line: MqttDevice
) -> None:
    here(world, line)
    lost, held = line.device.command("trigger_upload")["id"], line.device.command("trigger_upload")["id"]
    assert offers(line.so_far(world)) == [lost, held]
    line.beat()
    assert offers(line.so_far(world)) == []
    assert line.beat(have=[held])["type"] == "heartbeat"
    assert offers(line.so_far(world)) == [lost]


def test_the_answer_to_a_heartbeat_comes_before_what_waits(world: ContractWorld, line: MqttDevice) -> None:
    command = line.device.command()["id"]
    line.beat()
    assert line.kept == []
    assert offers(line.so_far(world)) == [command]


# What a device says


def test_a_heartbeat_carries_all_and_is_answered(world: ContractWorld, line: MqttDevice) -> None:
    here(world, line)
    one, other = line.device.command("trigger_upload")["id"], line.device.command("trigger_upload")["id"]
    answer = line.beat(acks=[one, 7], results=[{"id": other, "status": "executed"}], battery_percent=41)
    assert [(each["id"], each["go"]) for each in answer["acks"]] == [(one, True), (None, False)]
    assert [(each["id"], each["ok"]) for each in answer["results"]] == [(other, True)]
    assert (answer["device_id"], answer["project_id"], answer["commands"]) == (line.device.id, line.project, [])
    assert answer["gen"] == answer["binding_generation"] == line.generation
    world.write_states()
    device = world.get(line.device.path)
    assert (device["online"], device["battery_percent"]) == (True, 41)


def test_each_message_is_taken_by_one_node(world: ContractWorld, line: MqttDevice) -> None:
    before = [sum(route.frames.values()) for route in routes(world)]
    for _ in range(10):
        line.beat()
    taken = [sum(route.frames.values()) - count for route, count in zip(routes(world), before, strict=True)]
    assert sum(taken) == 10
    assert all(taken)


def test_what_comes_twice_counts_once(world: ContractWorld, line: MqttDevice) -> None:
    command = here(world, line).device.command()["id"]
    for _ in range(3):
        assert line.ack(command)["type"] == "go"
    for _ in range(3):
        assert line.report(command, result={"recording_id": "rec_1"})["ok"]
    assert line.device.story(command) == ["created", "offered", "delivered", "executed"]


# What is refused


def test_a_message_that_is_none_is_refused_with_what_to_do(world: ContractWorld, line: MqttDevice) -> None:
    raw = line.client.publish
    raw(line.topic("ack"), b"no json", 1)
    assert refused(line.answer("error")) == ("error", "invalid_request", "ack")
    raw(line.topic("heartbeat"), json.dumps({"type": "heartbeat", "ref": 9}), 1)
    frame = line.answer("error")
    assert refused(frame) == ("error", "invalid_request", "heartbeat")
    assert "`gen`" in frame["message"]
    assert frame["ref"] == 9
    line.say("ack", type="report", id="cmd_1")
    assert refused(line.answer("error")) == ("error", "invalid_request", "ack")
    line.say("heartbeat", battery_percent=400)
    assert refused(line.answer("error")) == ("error", "invalid_request", "heartbeat")
    line.say("report", id="cmd_1", status="executed", result={"a": "x" * FRAME_LIMITS["report"]})
    assert refused(line.answer("error")) == ("error", "payload_too_large", "report")
    assert line.beat()["type"] == "heartbeat"


def test_a_word_of_a_binding_that_is_over_counts_for_nothing(world: ContractWorld, line: MqttDevice) -> None:
    command = here(world, line).device.command()["id"]
    line.device.unbind(force=True)
    line.say("ack", id=command)
    assert refused(line.answer("error", id=command)) == ("error", "token_revoked", "ack")
    line.device.bind()
    fresh = line.device.command()["id"]
    line.say("report", id=fresh, status="executed")  # with the generation of the binding before
    frame = line.answer("error", id=fresh)
    assert (refused(frame), frame["gen"]) == (("error", "token_revoked", "report"), line.generation)
    assert line.device.read(fresh)["status"] == "pending"
    assert line.beat()["code"] == "token_revoked"


def test_a_word_under_another_project_counts_for_nothing(world: ContractWorld, line: MqttDevice) -> None:
    command = here(world, line).device.command()["id"]
    said = json.dumps({"type": "ack", "gen": line.generation, "id": command})
    for project in ("proj_other", "x"):
        line.client.publish(topic(project, line.device.id, "ack"), said, 1)
    line.beat()
    assert line.device.read(command)["status"] == "pending"


@contextmanager
def of_its_own(folder: Path, **settings: Any) -> Iterator[tuple[Broker, ContractWorld]]:
    """A broker, and a server on it."""
    with mosquitto(folder / "broker") as broker, open_contract(folder / "web", mqtt=broker.url, **settings) as world:
        until_up(world)
        yield broker, world


def test_who_says_too_much_is_told_so(tmp_path: Path) -> None:
    with of_its_own(tmp_path, device_rate=2) as (broker, world):
        line = MqttDevice(broker, world.device())
        told = [line.beat() for _ in range(21)]
        assert [frame["type"] for frame in told] == ["heartbeat"] * 20 + ["error"]
        assert told[-1]["code"] == "rate_limit_exceeded"
        line.close()


# What goes wrong


def test_a_broker_that_starts_anew_is_found_again_and_nothing_is_lost(tmp_path: Path) -> None:
    with of_its_own(tmp_path) as (broker, world):
        line = here(world, MqttDevice(broker, world.device()))
        device = line.device
        broker.stop()
        assert line.gone.wait(20)
        command = device.command()
        assert device.heartbeat()["commands"][0]["id"] == command["id"]  # over HTTP as ever
        world.pass_time(11)
        broker.start()
        until_up(world)
        line = MqttDevice(broker, device)
        line.beat()
        assert offers(line.so_far(world)) == [command["id"]]
        assert line.ack(command["id"])["type"] == "go"
        line.close()


def test_what_was_made_while_the_broker_was_away_is_pushed_when_it_is_back(tmp_path: Path) -> None:
    with of_its_own(tmp_path) as (broker, world):
        line = here(world, MqttDevice(broker, world.device()))
        broker.stop()
        assert line.gone.wait(20)
        command = line.device.command()
        settle(world)
        assert line.device.story(command["id"]) == ["created"]
        broker.start()
        until_up(world)
        line = MqttDevice(broker, line.device)
        world.pass_time(2)
        sweep(world)
        assert line.answer("offer")["command"]["id"] == command["id"]
        line.close()
