"""The routes as the delivery suite drives them: heartbeat, poll, long poll, live channel, and a backend that relays."""

from typing import Any

from websockets.exceptions import InvalidStatus

from rolltape.testing.delivery_suite import Heard, Offer
from tests.api.channel_world import Ended, Frame, Live, sweep
from tests.api.contract_world import BoundDevice, ContractWorld

QUIET_SEC = 11


class Rig:
    """The backend's side, and a device's words by calls of their own."""

    def __init__(self, world: ContractWorld, **device: Any) -> None:
        self.world = world
        self.device: BoundDevice = world.device(**device)
        self.credential = self.device.token

    def create(self, type_: str, ttl_seconds: int = 300) -> str:
        return str(self.device.command(type_, ttl_seconds=ttl_seconds)["id"])

    def create_elsewhere(self) -> str:
        return str(self.world.device().command()["id"])

    def reset(self) -> str:
        return str(self.world.web.made(f"{self.device.path}/reset")["id"])

    def cancel(self, command_id: str) -> None:
        assert self.world.call("DELETE", f"{self.device.path}/commands/{command_id}").status_code == 200

    def unbind(self) -> None:
        assert self.device.unbind(force=True).status_code == 200

    def read(self, command_id: str) -> dict[str, Any]:
        return self.device.read(command_id)

    def story(self, command_id: str) -> list[str]:
        return self.device.story(command_id)

    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    def acknowledge(self, command_id: str) -> Heard:
        answer = self.device.ack(command_id, self.credential)
        if answer.status_code == 200:
            return Heard(bool(answer.json()["go"]), answer.json()["status"])
        return Heard(False, answer.json()["error"].get("details", {}).get("status"))

    def report(self, command_id: str, status: str, result: dict[str, Any] | None = None) -> Heard:
        answer = self.device.report(command_id, self.credential, status=status, result=result)
        if answer.status_code == 200:
            return Heard(True, answer.json()["status"])
        return Heard(False, answer.json()["error"].get("details", {}).get("status"))


class HeartbeatRig(Rig):
    """All in one round trip: the device makes no other call."""

    def _beat(self, **body: Any) -> dict[str, Any] | None:
        path = f"{self.device.path}/heartbeat"
        answer = self.world.call("POST", path, self.credential, json=body)
        beat: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return beat

    def ask(self) -> list[Offer]:
        beat = self._beat()
        return [] if beat is None else list(beat["commands"])

    def acknowledge(self, command_id: str) -> Heard:
        beat = self._beat(acks=[command_id])
        assert beat is not None
        (said,) = beat["acks"]
        return Heard(said["go"], said["status"])

    def report(self, command_id: str, status: str, result: dict[str, Any] | None = None) -> Heard:
        beat = self._beat(results=[{"id": command_id, "status": status, "result": result}])
        assert beat is not None
        (said,) = beat["results"]
        return Heard(said["ok"], said["status"])


class PollRig(Rig):
    """The device asks, and is answered at once."""

    def ask(self) -> list[Offer]:
        answer = self.world.call("GET", f"{self.device.path}/commands/pending", self.credential)
        return list(answer.json()["commands"]) if answer.status_code == 200 else []


class LongPollRig(Rig):
    """The device asks, and is answered when there is something; for the empty answer time must go by."""

    def ask(self) -> list[Offer]:
        self.world.pass_time(QUIET_SEC)
        path = f"{self.device.path}/commands/pending?wait=1"
        before = self.world.clock.sleepers
        answer = self.world.pool.submit(self.world.call, "GET", path, self.credential)
        while not answer.done() and self.world.clock.sleepers == before:
            pass
        self.world.pass_time(1)  # the poll knows by now when its time is up
        answer.result(20)
        return list(answer.result().json()["commands"]) if answer.result().status_code == 200 else []


class ChannelRig(Rig):
    """The device has a channel, which it opens again when the server has closed it for silence."""

    live: Live | None = None

    def _channel(self) -> Live | None:
        if self.live is None:
            try:
                self.live = Live(self.world, self.credential)
                self.live.hello()
            except (InvalidStatus, Ended):
                self.close()
        return self.live

    def close(self) -> None:
        """The device goes."""
        if self.live is not None:
            self.live.close()
            self.live = None

    def _heard(self) -> list[Frame]:
        """What the server has to say of itself; a channel that it closed is opened again."""
        for _ in range(2):
            live = self._channel()
            if live is None:
                return []
            try:
                return live.so_far()
            except Ended:
                self.close()
        return []

    def ask(self) -> list[Offer]:
        self._heard()
        self.world.pass_time(QUIET_SEC)
        sweep(self.world)
        return [frame["command"] for frame in self._heard() if frame["type"] == "offer"]

    def acknowledge(self, command_id: str) -> Heard:
        live = self._channel()
        assert live is not None
        said = live.ack(command_id)
        return Heard(said["type"] == "go", said["status"])

    def report(self, command_id: str, status: str, result: dict[str, Any] | None = None) -> Heard:
        live = self._channel()
        assert live is not None
        said = live.report(command_id, status=status, result=result)
        return Heard(said["ok"], said["status"])


class FlakyChannelRig(ChannelRig):
    """The device's line breaks each time before it asks: it connects anew, with nothing in hand."""

    def ask(self) -> list[Offer]:
        self.close()
        return [frame["command"] for frame in self._heard() if frame["type"] == "offer"]


class RelayingBackendRig(PollRig):
    """A backend carries the offers and the words itself, with its API key."""

    def __init__(self, world: ContractWorld) -> None:
        super().__init__(world)
        self.credential = world.web.key


class RelayedHeartbeatRig(HeartbeatRig):
    """A backend sends whole heartbeats for the device."""

    def __init__(self, world: ContractWorld) -> None:
        super().__init__(world)
        self.credential = world.web.key
