"""The relay route as the delivery suite drives it: a phone that polls, one that listens, and a device that signs."""

from typing import Any

import httpx2

from rolltape.testing.delivery_suite import Heard, Offer
from tests.api.contract_world import ContractWorld
from tests.api.relay_stream_world import open_stream
from tests.api.relay_world import Relayed, relayed
from tests.conformance.delivery_rigs import Rig


class RelayRig(Rig):
    """A relay that asks for everything, and brings the device's bare words, which count as the relay's."""

    def __init__(self, world: ContractWorld, **device: Any) -> None:
        self.world = world
        self.relayed: Relayed = relayed(world, **device)
        self.device = self.relayed.device
        self.credential = self.device.token

    def ask(self) -> list[Offer]:
        return list(self.relayed.commands()["commands"])

    def acknowledge(self, command_id: str) -> Heard:
        return _heard(self.relayed.signed_ack(command_id), "go")

    def report(self, command_id: str, status: str, result: dict[str, Any] | None = None) -> Heard:
        said = {} if result is None else {"result": result}
        return _heard(self.relayed.signed_report(command_id, status, **said), "status")


class RelayStreamRig(RelayRig):
    """A relay that opens a stream, and reads until it has been told what waits."""

    def ask(self) -> list[Offer]:
        with open_stream(self.relayed) as stream:
            return [event.data for event in stream.batch() if event.name == "offer"]


def _heard(answer: httpx2.Response, yes: str) -> Heard:
    body = answer.json()
    if answer.status_code == 200:
        return Heard(bool(body[yes]), body["status"])
    return Heard(False, body["error"].get("details", {}).get("status"))
