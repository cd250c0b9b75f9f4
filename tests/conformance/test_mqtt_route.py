"""The MQTT route keeps the promises of every route: over two brokers, on a file, and on PostgreSQL by two nodes."""

from collections.abc import Iterator

import pytest

from rolltape.testing.delivery_suite import DeliverySuite
from tests.api.contract_world import ContractWorld, open_contract
from tests.api.mqtt_world import until_up
from tests.api.web_world import NODES, Kind
from tests.brokers import Broker, mosquitto, nats, needs_mosquitto
from tests.conformance.mqtt_rigs import FlakyMqttRig, MqttRig


@pytest.fixture(scope="module", params=["mosquitto", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with (mosquitto if request.param == "mosquitto" else nats)(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module", params=NODES)
def world(
    request: pytest.FixtureRequest, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ContractWorld]:
    kind: Kind = request.param
    with open_contract(tmp_path_factory.mktemp("web"), store=kind, mqtt=broker.url) as world:
        until_up(world)
        yield world


@needs_mosquitto
class TestMqtt(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld, broker: Broker) -> Iterator[MqttRig]:
        rig = MqttRig(world, broker)
        yield rig
        rig.close()


@needs_mosquitto
@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)  # NATS holds off whoever comes again at once
class TestFlakyMqtt(DeliverySuite):
    keeps_order = False

    @pytest.fixture
    def rig(self, world: ContractWorld, broker: Broker) -> Iterator[MqttRig]:
        rig = FlakyMqttRig(world, broker)
        yield rig
        rig.close()
