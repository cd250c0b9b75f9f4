"""A device on a real broker, for the tests that need one; and what is to be known of the servers behind it."""

import asyncio
import json
import queue
import socket
from itertools import count
from threading import Event
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from rolltape.delivery.mqtt.route import MqttRoute
from rolltape.wire.mqtt import DOWN, Place, topic
from tests.api.contract_world import BoundDevice, ContractWorld
from tests.brokers import Broker

PATIENCE = 20
Frame = dict[str, Any]
_marks = count(1)


class MqttDevice:
    """One that is connected and has subscribed. What comes while something else is awaited is kept for later."""

    def __init__(
        self,
        broker: Broker,
        device: BoundDevice,
        *,
        username: str | None = None,
        password: str | None = None,
        client_id: str | None = None,
        subscribe: bool = True,
    ) -> None:
        self.device = device
        self.generation = int(device.bound["binding_generation"])
        self.project = str(device.bound["project_id"])
        self.kept: list[Frame] = []
        self._frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._said: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=device.id if client_id is None else client_id,
            protocol=paho.MQTTv5 if broker.version == 5 else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        if username is not None:
            client.username_pw_set(username, password)
        client.on_socket_open = lambda *said: said[2].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.on_connect = lambda *said: self._said.put(("connect", said[3]))
        self.gone = Event()
        client.on_disconnect = lambda *said: self.gone.set()
        client.on_subscribe = lambda *said: self._said.put(("subscribe", said[3]))
        client.on_publish = lambda *said: self._said.put(("publish", said[3]))
        client.on_message = lambda *said: self._frames.put({**json.loads(said[2].payload), "on": said[2].topic})
        self.client = client
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        self.refusal: str | None = None
        reason = self.told("connect")
        if reason.is_failure:
            self.refusal = str(reason)
        elif subscribe:
            for leaf in DOWN:
                assert self.subscribe(self.topic(leaf)) is None

    def topic(self, leaf: str) -> str:
        """One of its own."""
        return topic(self.project, self.device.id, leaf)

    def told(self, what: str) -> Any:
        """What the broker next says of it."""
        while True:
            kind, reason = self._said.get(timeout=PATIENCE)
            if kind == what:
                return reason

    def subscribe(self, name: str, qos: int = 1) -> str | None:
        """Why it may not, None where it may."""
        self.client.subscribe(name, qos)
        (reason,) = self.told("subscribe")
        return str(reason) if reason.is_failure else None

    def publish(self, name: str, payload: bytes, qos: int = 1) -> str | None:
        """Why it may not, as far as the broker says so (MQTT 5); None where it may."""
        self.client.publish(name, payload, qos)
        reason = self.told("publish")
        return str(reason) if reason.is_failure else None

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def say(self, leaf: str, gen: int | None = None, **frame: Any) -> None:
        """One frame."""
        said = {"type": leaf, "gen": self.generation if gen is None else gen, **frame}
        self.client.publish(self.topic(leaf), json.dumps(said), 1)

    def next(self) -> Frame:
        """The next frame."""
        return self.kept.pop(0) if self.kept else self._frames.get(timeout=PATIENCE)

    def answer(self, *types: str, **fields: Any) -> Frame:
        """The next frame of one of these types that says so."""
        while True:
            frame = self._frames.get(timeout=PATIENCE)
            if frame["type"] in types and fields.items() <= frame.items():
                return frame
            self.kept.append(frame)

    def beat(self, **body: Any) -> Frame:
        """A heartbeat's answer, or an error."""
        mark = next(_marks)
        self.say("heartbeat", ref=mark, **body)
        return self.answer("heartbeat", "error", ref=mark)

    def ack(self, command_id: str) -> Frame:
        self.say("ack", id=command_id)
        return self.answer("go", "no_go", "error", id=command_id)

    def report(self, command_id: str, status: str = "executed", **report: Any) -> Frame:
        self.say("report", id=command_id, status=status, **report)
        return self.answer("report", "error", id=command_id)

    def so_far(self, world: ContractWorld) -> list[Frame]:
        """All that the servers had to say until now."""
        settle(world)
        for route in routes(world):
            mark = f"mark {next(_marks)}"
            world.web.run(_mark(route, Place(self.project, self.device.id, "answer"), mark))
            self.answer("mark", ref=mark)
        heard, self.kept = self.kept, []
        return heard


async def _mark(route: MqttRoute, place: Place, mark: str) -> None:
    """What was said before has gone out before it: one connection keeps its order."""
    route.say(place, json.dumps({"type": "mark", "ref": mark}).encode(), sure=False, expiry_sec=60)


def routes(world: ContractWorld) -> list[MqttRoute]:
    """Of all nodes."""
    return [node.broker.route for node in world.web.nodes if node.broker is not None]


def settle(world: ContractWorld) -> None:
    """Comes back once no node has anything to do for devices on the broker."""

    async def idle() -> None:
        while not all(route.is_idle for route in routes(world)):
            await asyncio.sleep(0.001)

    world.web.run(idle())


def until_up(world: ContractWorld) -> None:
    """Comes back once all nodes have the broker."""

    async def up() -> None:
        await asyncio.gather(*(route.broker.came_up.wait() for route in routes(world)))  # type: ignore[attr-defined]

    world.web.run(up())


def offers(frames: list[Frame]) -> list[str]:
    """The ids of what is offered in these frames, in order."""
    return [frame["command"]["id"] for frame in frames if frame["type"] == "offer"]
