"""On a broker a device sees and says its own, and nothing else; whichever way the broker knows of its token."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import pytest

from rolltape.clock import SystemClock
from rolltape.wire.mqtt import DOWN, UP, topic
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract
from tests.api.mqtt_world import MqttDevice
from tests.brokers import AUTH_SECRET, Broker, amqtt, mosquitto, needs_amqtt, needs_mosquitto

CLOCK = SystemClock()
SERVER = ("rolltape-server", "the-server-s-own-password")


@dataclass
class Door:
    """A server, and the broker that keeps its devices apart."""

    world: ContractWorld
    broker: Broker
    kind: str
    seer: MqttDevice | None = None

    @property
    def watcher(self) -> MqttDevice:
        """The server's own user there, who sees all."""
        assert self.seer is not None
        return self.seer

    def device(self) -> BoundDevice:
        return self.world.device()

    def enter(self, device: BoundDevice, **other: str) -> MqttDevice:
        """The device, with its token as it is, or with something else."""
        return MqttDevice(
            self.broker, device, subscribe=False, **{"username": device.id, "password": device.token, **other}
        )


@pytest.fixture(scope="module", params=["dynsec", "http"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    with ExitStack() as stack:
        if request.param == "dynsec":
            broker = stack.enter_context(mosquitto(folder / "broker", dynsec=True))
            world = stack.enter_context(open_contract(folder / "web", mqtt=broker.url, mqtt_dynsec=True))
            until_told(world)
        else:
            url = f"mqtt://{SERVER[0]}:{SERVER[1]}@127.0.0.1:1"  # amqtt knows no shared subscriptions: so only its door
            world = stack.enter_context(open_contract(folder / "web", mqtt=url, mqtt_auth_secret=AUTH_SECRET))
            broker = stack.enter_context(amqtt(folder / "broker", int(urlsplit(world.web.base_url).port or 0)))
        watcher = MqttDevice(
            broker, world.device(), username=SERVER[0], password=SERVER[1], client_id="watcher", subscribe=False
        )
        assert watcher.refusal is None
        assert watcher.subscribe("rolltape/#") is None
        yield Door(world, broker, request.param, watcher)
        watcher.close()


pytestmark = [needs_mosquitto, needs_amqtt]


def until_told(world: ContractWorld) -> None:
    """Comes back once the broker can be told of tokens."""

    async def ready() -> None:
        for node in world.web.nodes:
            (keeper,) = node.app.doors.keepers
            await keeper.ready.wait()  # type: ignore[attr-defined]

    world.web.run(ready())


def until(holds: Callable[[], bool]) -> None:
    """Asks until it holds."""
    end = CLOCK.monotonic() + 20
    while not holds():
        assert CLOCK.monotonic() < end
        Event().wait(0.05)


def test_a_device_may_say_and_hear_its_own(door: Door) -> None:
    device = door.device()
    line = door.enter(device)
    assert line.refusal is None
    assert [line.subscribe(line.topic(leaf)) for leaf in DOWN] == [None, None]
    for leaf in UP:
        assert line.publish(line.topic(leaf), b'{"type": "mine"}') is None
        assert door.watcher.answer("mine")["on"] == line.topic(leaf)
    door.watcher.client.publish(line.topic("offer"), b'{"type": "for you"}', 1)
    assert line.answer("for you")["on"] == line.topic("offer")
    line.close()


def test_a_device_hears_nothing_of_another(door: Door) -> None:
    one, other = door.device(), door.device()
    line = door.enter(one)
    project = str(other.bound["project_id"])
    assert line.subscribe(line.topic("offer")) is None
    wanted = [
        *(topic(project, other.id, leaf) for leaf in (*DOWN, *UP)),
        *(topic(project, one.id, leaf) for leaf in UP),
        topic(project, "+", "offer"),
        topic("+", one.id, "offer"),
        f"rolltape/{project}/{one.id}/#",
        f"rolltape/{project}/{one.id}/+",
        "rolltape/#",
        "#",
        "+/+/+/+",
        "$SYS/#",
        f"$share/rolltape/rolltape/{project}/{other.id}/offer",
        "$share/rolltape/rolltape/+/+/ack",
        "$CONTROL/dynamic-security/v1/response",
    ]
    assert [name for name in wanted if line.subscribe(name) is None] == []
    for leaf in (*DOWN, *UP):
        door.watcher.client.publish(topic(project, other.id, leaf), b'{"type": "secret"}', 1)
    door.watcher.client.publish(topic(project, one.id, "offer"), b'{"type": "last"}', 1)
    assert line.answer("last")
    assert line.kept == []
    line.close()


def test_a_device_says_nothing_for_another_nor_for_the_server(door: Door) -> None:
    one, other = door.device(), door.device()
    line = door.enter(one)
    project = str(other.bound["project_id"])
    for name in (
        *(topic(project, other.id, leaf) for leaf in (*UP, *DOWN)),
        *(topic(project, one.id, leaf) for leaf in DOWN),
        f"rolltape/{project}/{one.id}/other",
        "$CONTROL/dynamic-security/v1",
    ):
        said = json.dumps({"type": "stolen", "commands": [{"command": "listClients"}]}).encode()
        refused = line.publish(name, said)
        assert door.broker.version == 4 or refused is not None, name
        if door.broker.version == 4:  # that one doesn't say what it refuses: it may throw out who asks
            line.close()
            line = door.enter(one)
    assert line.publish(line.topic("ack"), b'{"type": "own"}') is None
    door.watcher.kept.clear()
    assert door.watcher.answer("own")["on"] == line.topic("ack")
    assert [frame for frame in door.watcher.kept if frame["type"] == "stolen"] == []
    line.close()


def test_nobody_comes_in_with_anything_but_the_devices_own_id_and_token(door: Door) -> None:
    one, other = door.device(), door.device()
    refused = [
        door.enter(one, password=other.token),
        door.enter(one, password=""),
        door.enter(one, password="dtok_" + "x" * 43),
        door.enter(one, password=door.world.web.key),
        door.enter(one, username=other.id),
        door.enter(one, client_id=other.id),
        door.enter(one, client_id="anything"),
        door.enter(one, username=SERVER[0]),
    ]
    assert all(line.refusal is not None for line in refused)
    assert door.enter(one).refusal is None


def test_a_device_whose_binding_is_over_is_let_in_no_more(door: Door) -> None:
    device = door.device()
    line = door.enter(device)
    assert line.refusal is None
    device.unbind(force=True)
    if door.kind == "dynsec":
        assert line.gone.wait(1.0)
    assert door.enter(device).refusal is not None
    device.bind()
    assert door.enter(device).refusal is None


def test_a_fresh_token_takes_the_place_of_the_old(door: Door) -> None:
    device = door.device()
    old = device.token
    path = "/v1/devices/me/token/refresh"
    fresh = door.world.call("POST", path, old).json()["device_token"]
    assert door.enter(device, password=fresh).refusal is None
    assert door.enter(device, password=old).refusal is not None
    assert device.bind()["device_token"] != fresh
    assert door.enter(device).refusal is None


def test_a_deleted_device_is_let_in_no_more(door: Door) -> None:
    device = door.device()
    assert door.world.call("DELETE", f"{device.path}?force=true").status_code == 204
    tries = (door.enter(device).refusal for _ in range(200))  # the broker hears of it within a second
    assert any(refusal is not None for refusal in tries)


def test_what_ended_while_nobody_could_tell_the_broker_is_told_at_the_next_start(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path / "broker", dynsec=True))
        world = stack.enter_context(open_contract(tmp_path / "web", mqtt=broker.url, mqtt_dynsec=True))
        until_told(world)
        door = Door(world, broker, "dynsec")
        gone, kept = world.device(), world.device()
        keeper = world.web.app.doors.keepers.pop()
        gone.unbind(force=True)
        lines = [door.enter(gone), door.enter(kept)]
        assert [line.refusal for line in lines] == [None, None]
        world.web.run(keeper.reconcile())  # type: ignore[attr-defined]
        assert lines[0].gone.wait(5.0)
        assert not lines[1].gone.is_set()
        assert door.enter(gone).refusal is not None
        assert door.enter(kept).refusal is None


def test_a_token_made_while_the_broker_is_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path / "broker", dynsec=True))
        world = stack.enter_context(open_contract(tmp_path / "web", mqtt=broker.url, mqtt_dynsec=True))
        until_told(world)
        door = Door(world, broker, "dynsec")
        before = world.device()
        broker.stop()
        device = world.device()
        before.unbind(force=True)
        broker.start()
        until_told(world)
        until(lambda: door.enter(device).refusal is None)
        until(lambda: door.enter(before).refusal is not None)
