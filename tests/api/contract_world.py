"""What the tests of the contract share: a server by a clock that stands still, and short words for long requests."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from rolltape.store.database import Db, Row
from rolltape.testing.clock import ManualClock
from rolltape.wire.keys import un_b64url
from rolltape.wire.times import parse
from rolltape.workers.expiry import Expiry
from rolltape.workers.states import Offline, States
from tests.api.web_world import WebWorld, open_web


@dataclass
class ContractWorld:
    """A server, its clock, and a device that is bound."""

    web: WebWorld
    clock: ManualClock
    pool: ThreadPoolExecutor

    def call(self, method: str, path: str, credential: str | None = None, **parts: Any) -> httpx2.Response:
        return self.web.call(method, path, credential, **parts)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def held(
        self, method: str, path: str, credential: str | None = None, *, topic: str, **parts: Any
    ) -> "Future[httpx2.Response]":
        """A request whose answer is held back: it waits for news of `topic` when this comes back."""
        before = self.clock.sleepers
        answer = self.pool.submit(self.call, method, path, credential, **parts)
        self.until_waits(topic, before)
        return answer

    def until_waits(self, topic: str, sleepers_before: int) -> None:
        """Comes back once a further request waits for news of `topic`, and for its time to be up."""

        async def waits() -> None:
            while (
                not any(node.app.wakeups.anyone(topic) for node in self.web.nodes)
                or self.clock.sleepers == sleepers_before
            ):
                await asyncio.sleep(0.001)

        self.web.run(waits())

    def pass_time(self, seconds: float, *, steps: int = 1) -> None:
        """Lets time go by in the server's own loop."""

        async def go() -> None:
            for _ in range(steps):
                self.clock.advance(seconds / steps)
                await asyncio.sleep(0)

        self.web.run(go())

    def expire(self) -> int:
        return self.web.run(Expiry().run_once(self.web.app, self.clock.now_ms()))

    def notice_silence(self) -> int:
        return self.web.run(Offline().run_once(self.web.app, self.clock.now_ms()))

    def write_states(self) -> None:
        for node in self.web.nodes:
            self.web.run(States().run_once(node.app, self.clock.now_ms()))

    def device(self, **body: Any) -> "BoundDevice":
        """A new device, bound to a user of its own."""
        serial = f"serial-{len(self.all_events('device.registered'))}"
        device_id = self.web.made("/v1/devices", serial_number=serial, **body)["id"]
        user = self.web.made("/v1/end-users", external_id=serial)["id"]
        return BoundDevice(self, device_id, user, self.web.made(f"/v1/devices/{device_id}/bind", end_user_id=user))

    def all_events(self, type_: str, device_id: str | None = None) -> list[dict[str, Any]]:
        """The data of all events of a type, oldest first, as they are stored."""

        async def look(db: Db) -> list[Row]:
            return await db.all("SELECT data, device_id FROM events WHERE type = ? ORDER BY n", (type_,))

        found = self.web.run(self.web.app.store._at.read(look))  # type: ignore[attr-defined]
        return [json.loads(data) for data, owner in found if device_id in (None, owner)]


@dataclass
class BoundDevice:
    """A device with what bind told it."""

    world: ContractWorld
    id: str
    user: str
    bound: dict[str, Any]

    @property
    def token(self) -> str:
        return str(self.bound["device_token"])

    @property
    def path(self) -> str:
        return f"/v1/devices/{self.id}"

    def bind(self) -> dict[str, Any]:
        """Binds it again to its user, who gave it back before or not."""
        self.bound = self.world.web.made(f"{self.path}/bind", end_user_id=self.user)
        return self.bound

    def unbind(self, *, force: bool = False) -> httpx2.Response:
        return self.world.call("POST", f"{self.path}/unbind", json={"force": force})

    def command(self, type_: str = "start_recording", **body: Any) -> dict[str, Any]:
        return self.world.web.made(f"{self.path}/commands", type=type_, **body)

    def read(self, command_id: str) -> dict[str, Any]:
        command: dict[str, Any] = self.world.get(f"{self.path}/commands/{command_id}")
        return command

    def heartbeat(self, **body: Any) -> dict[str, Any]:
        answer = self.world.call("POST", "/v1/devices/me/heartbeat", self.token, json=body)
        assert answer.status_code == 200, answer.text
        beat: dict[str, Any] = answer.json()
        return beat

    def offered(self) -> list[str]:
        """The ids of what a heartbeat offers, in its order."""
        return [offer["id"] for offer in self.heartbeat()["commands"]]

    def poll(self, query: str = "") -> dict[str, Any]:
        answer = self.world.call("GET", f"/v1/devices/me/commands/pending{query}", self.token)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def hold_poll(self, seconds: int = 60, credential: str | None = None) -> "Future[httpx2.Response]":
        """A long poll that waits, and has looked already."""
        credential = self.token if credential is None else credential
        path = f"{self.path}/commands/pending?wait={seconds}"
        return self.world.held("GET", path, credential, topic=self.id)

    def ack(self, command_id: str, credential: str | None = None) -> httpx2.Response:
        path = f"{self.path}/commands/{command_id}/ack"
        return self.world.call("POST", path, self.token if credential is None else credential)

    def report(self, command_id: str, credential: str | None = None, **body: Any) -> httpx2.Response:
        path = f"{self.path}/commands/{command_id}/report"
        body.setdefault("status", "executed")
        return self.world.call("POST", path, self.token if credential is None else credential, json=body)

    def history(self, command_id: str) -> list[dict[str, Any]]:
        page = self.world.get(f"{self.path}/commands/{command_id}/events?limit=100")
        events: list[dict[str, Any]] = page["data"]
        return events

    def story(self, command_id: str) -> list[str]:
        """The kinds of the events of a command, oldest first."""
        return [event["type"].removeprefix("command.") for event in self.history(command_id)]


@contextmanager
def open_contract(folder: Path, **settings: Any) -> Iterator[ContractWorld]:
    """A server whose time the test moves, and a place for requests that are held back."""
    clock = ManualClock()
    with open_web(folder, clock=clock, **settings) as web, ThreadPoolExecutor(8) as pool:
        yield ContractWorld(web, clock, pool)


def claims(grant: str) -> dict[str, Any]:
    """What a grant says, unchecked."""
    said: dict[str, Any] = json.loads(un_b64url(grant.split(".")[1]))
    return said


def header(grant: str) -> dict[str, Any]:
    """The header of a grant."""
    said: dict[str, Any] = json.loads(un_b64url(grant.split(".", maxsplit=1)[0]))
    return said


def seconds_between(earlier: str, later: str) -> float:
    """Between two times of answers."""
    return (parse(later) - parse(earlier)) / 1000
