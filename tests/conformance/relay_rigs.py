"""The relay route as the delivery suite drives it: a phone that polls, one that listens, and a device that signs."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2

from rolltape.testing.delivery_suite import Heard, Offer
from tests.api.contract_world import ContractWorld
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
        return [json.loads(event["data"]) for event in first_batch(self.relayed) if event["event"] == "offer"]


def _heard(answer: httpx2.Response, yes: str) -> Heard:
    body = answer.json()
    if answer.status_code == 200:
        return Heard(bool(body[yes]), body["status"])
    return Heard(False, body["error"].get("details", {}).get("status"))


def first_batch(relayed: Relayed, last_event_id: str | None = None) -> list[dict[str, str]]:
    """The events of a stream up to its first comment, which says that all that waited has been told."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    headers["Authorization"] = f"Bearer {relayed.token}"
    url = relayed.world.web.base_url + "/v1/relay/stream"
    with relayed.world.web.http.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200
        found: list[dict[str, str]] = []
        for block in blocks(answer):
            if block == {"": ""}:
                return found
            if "event" in block:
                found.append(block)
    raise AssertionError("the stream ended before it had told what waits")


def blocks(answer: httpx2.Response) -> Iterator[dict[str, str]]:
    """What a stream says, block by block: the fields of each, a comment under the name "" (WHATWG HTML, 9.2.6)."""
    block: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(":")
            assert name not in block
            block[name] = value.removeprefix(" ")
        elif block:
            yield block
            block = {}
