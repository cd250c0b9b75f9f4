"""Every route keeps the same promises."""

from collections.abc import Iterator

import pytest

from rolltape.testing.delivery_suite import DeliverySuite
from tests.api.contract_world import ContractWorld, open_contract
from tests.api.web_world import NODES
from tests.conformance.delivery_rigs import (
    ChannelRig,
    FlakyChannelRig,
    HeartbeatRig,
    LongPollRig,
    PollRig,
    RelayedHeartbeatRig,
    RelayingBackendRig,
    Rig,
)
from tests.conformance.relay_rigs import RelayRig, RelayStreamRig


@pytest.fixture(scope="module", params=NODES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


class TestHeartbeat(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Rig:
        return HeartbeatRig(world)


class TestHeartbeatWithSharedSecrets(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Rig:
        return HeartbeatRig(world, grant_alg="HS256")


class TestPoll(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Rig:
        return PollRig(world)


class TestLongPoll(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Rig:
        return LongPollRig(world)


class TestChannel(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Iterator[Rig]:
        rig = ChannelRig(world)
        yield rig
        rig.close()


class TestChannelWithSharedSecrets(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Iterator[Rig]:
        rig = ChannelRig(world, grant_alg="HS256")
        yield rig
        rig.close()


class TestFlakyChannel(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Iterator[Rig]:
        rig = FlakyChannelRig(world)
        yield rig
        rig.close()


class TestRelayingBackend(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Rig:
        return RelayingBackendRig(world)


class TestRelayedHeartbeat(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Rig:
        return RelayedHeartbeatRig(world)


class TestRelay(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Rig:
        return RelayRig(world)


class TestRelayOfADeviceThatSigns(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Rig:
        return RelayRig(world, keyed=True)


class TestRelayStream(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Rig:
        return RelayStreamRig(world, keyed=True)


class TestRelayStreamWithSharedSecrets(DeliverySuite):
    @pytest.fixture
    def rig(self, world: ContractWorld) -> Rig:
        return RelayStreamRig(world, grant_alg="HS256")
