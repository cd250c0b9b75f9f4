"""The MQTT route as the delivery suite drives it."""

from typing import Any

from rolltape.testing.delivery_suite import Heard, Offer
from tests.api.contract_world import ContractWorld
from tests.api.mqtt_world import MqttDevice
from tests.brokers import Broker
from tests.conformance.delivery_rigs import QUIET_SEC, Rig


class MqttRig(Rig):
    """A device that stays on the broker. It asks with a heartbeat; what was pushed before that it lets go by."""

    def __init__(self, world: ContractWorld, broker: Broker) -> None:
        super().__init__(world)
        self.broker = broker
        self.line = MqttDevice(broker, self.device)

    def close(self) -> None:
        """The device goes."""
        self.line.close()

    def ask(self) -> list[Offer]:
        self.line.so_far(self.world)
        self.world.pass_time(QUIET_SEC)
        self.line.beat()
        return [frame["command"] for frame in self.line.so_far(self.world) if frame["type"] == "offer"]

    def acknowledge(self, command_id: str) -> Heard:
        said = self.line.ack(command_id)
        return Heard(said["type"] == "go", said["status"])

    def report(self, command_id: str, status: str, result: dict[str, Any] | None = None) -> Heard:
        said = self.line.report(command_id, status, result=result)
        return Heard(said["ok"], said["status"])


class FlakyMqttRig(MqttRig):
    """The device's line breaks each time before it asks: it connects anew, with nothing in hand."""

    def ask(self) -> list[Offer]:
        self.line.so_far(self.world)
        self.line.close()
        self.line = MqttDevice(self.broker, self.device)
        self.line.beat(have=[])
        return [frame["command"] for frame in self.line.so_far(self.world) if frame["type"] == "offer"]
