"""Mosquitto's dynamic-security plugin: each bound device is a client of the broker, with a role of its own.

The server keeps only a token's hash, so the broker is given the token at the moment at which it is made. What could not
be told, as the broker was away, is told when it is back, unless this server ended first: then the device, which is
refused there and not over HTTP, asks for a fresh token. The plugin's 2.0 knows no pattern with the user's name in it,
hence the role for each device.
"""

import asyncio
import logging
import secrets
import ssl
from collections import OrderedDict
from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec

from rolltape.backoff import Backoff
from rolltape.codes import Problem
from rolltape.mqtt.address import Address
from rolltape.mqtt.link import Link, LinkLost, Manner
from rolltape.store.base import Store
from rolltape.wire.ids import is_id
from rolltape.wire.mqtt import DOWN, UP, topic

log = logging.getLogger("rolltape.mqtt")
CONTROL: Final = "$CONTROL/dynamic-security/v1"
ANSWERS: Final = f"{CONTROL}/response"
CONNECT_SEC: Final = 10.0
ANSWER_SEC: Final = 10.0
ADMIT_SEC: Final = 2.0
"""A bind waits so long for the broker, and goes on without it."""
MOST_WAITING: Final = 100_000
PAGE: Final = 1000
_HARMLESS: Final = ("already exists", "not found")

Command = dict[str, Any]


class Dynsec:
    """One connection with the right to administer, and what is still to be told on it: the last word on each device."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None, store: Store, random: Random) -> None:
        self._address = address
        self._tls = tls
        self._store = store
        self._random = random
        self._jobs: OrderedDict[str, list[Command] | None] = OrderedDict()
        self._something = asyncio.Event()
        self._told: dict[str, list[asyncio.Future[None]]] = {}
        self._link: Link | None = None
        self._asked: dict[str, asyncio.Future[list[Command]]] = {}
        self.ready = asyncio.Event()

    async def admit(self, project_id: str, device_id: str, generation: int, token: str) -> None:
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._told.setdefault(device_id, []).append(told)
        self._put(device_id, admission(project_id, device_id, generation, token))
        if self._link is None:
            return
        await asyncio.wait({told}, timeout=ADMIT_SEC)

    def shut_out(self, device_id: str) -> None:
        self._put(device_id, None)

    def _put(self, device_id: str, commands: list[Command] | None) -> None:
        self._jobs[device_id] = commands
        self._jobs.move_to_end(device_id)
        if len(self._jobs) > MOST_WAITING:
            self._jobs.popitem(last=False)
        self._something.set()

    async def run(self) -> None:
        """Tells, until it is cancelled."""
        backoff = Backoff(0.5, 15.0, self._random, least=0.1)
        while True:
            try:
                await self._once(backoff)
            except (LinkLost, Problem) as trouble:
                log.warning("Mosquitto can't be told of devices' tokens at the moment: %s", trouble)
            await asyncio.sleep(backoff.next())

    async def _once(self, backoff: Backoff) -> None:
        manner = Manner(
            client_id=f"rolltape-keys-{secrets.token_hex(6)}",
            username=self._address.username,
            password=self._address.password,
            tls=self._tls,
        )
        self._link = link = Link(self._address, manner, self._heard)
        try:
            await link.connect(CONNECT_SEC)
            await link.subscribe([ANSWERS], CONNECT_SEC)
            await self.reconcile()
            self.ready.set()
            backoff.succeeded()
            while True:
                await self._work(link)
        finally:
            self._link = None
            self.ready.clear()
            await link.close()

    async def _work(self, link: Link) -> None:
        gone, news = asyncio.ensure_future(link.gone()), asyncio.ensure_future(self._something.wait())
        try:
            await asyncio.wait({gone, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            news.cancel()
        if not link.is_up:
            raise LinkLost("the connection is gone")
        self._something.clear()
        while self._jobs:
            device_id, commands = next(iter(self._jobs.items()))
            await self._do(device_id, commands)
            if self._jobs.get(device_id, ()) is commands:
                del self._jobs[device_id]
            for told in self._told.pop(device_id, ()):
                if not told.done():
                    told.set_result(None)

    async def _do(self, device_id: str, commands: list[Command] | None) -> None:
        """Raises LinkLost, Problem: then it is still to be done."""
        if commands is None:
            if await self._store.bound_device(device_id) is not None:
                return  # it has been bound anew since: whoever did that has told, or will
            commands = removal(device_id)
        for answer in await self._ask(commands):
            error = str(answer.get("error") or "")
            if error and not any(word in error for word in _HARMLESS):
                log.error("Mosquitto refuses %s for %s: %s", answer.get("command"), device_id, error)

    async def reconcile(self) -> None:
        """Bindings that ended while nobody could tell: their devices are shut out now."""
        names: list[tuple[str, str]] = []
        total = 1
        while len(names) < total:
            page = {"command": "listClients", "verbose": True, "count": PAGE, "offset": len(names)}
            (answer,) = await self._ask([page])
            if "error" in answer:
                raise LinkLost(f"it refuses to list clients ({answer['error']}): give this user the role `admin`")
            found = answer["data"]["clients"]
            total = int(answer["data"]["totalCount"]) if found else 0
            names += [(str(each["username"]), str(each.get("textname", ""))) for each in found]
        for device_id, text in names:
            if not is_id("dev", device_id) or device_id in self._jobs:
                continue
            bound = await self._store.bound_device(device_id)
            if bound is None or mark(bound.generation) != text:
                await self._ask(removal(device_id))

    async def _ask(self, commands: list[Command]) -> list[Command]:
        link, number = self._link, secrets.token_hex(8)
        assert link is not None
        asked: asyncio.Future[list[Command]] = asyncio.get_running_loop().create_future()
        self._asked[number] = asked
        body = msgspec.json.encode({"commands": [{**each, "correlationData": number} for each in commands]})
        try:
            if not link.publish(CONTROL, body, 1):
                raise LinkLost("the connection is gone")
            async with asyncio.timeout(ANSWER_SEC):
                return await asked
        except TimeoutError:
            raise LinkLost("no answer: is the plugin loaded, and may this user administer it?") from None
        finally:
            del self._asked[number]

    def _heard(self, name: str, payload: bytes, done: Callable[[], None]) -> None:
        done()
        try:
            answers: list[Command] = msgspec.json.decode(payload, type=dict[str, list[Command]])["responses"]
            asked = self._asked.get(str(answers[0].get("correlationData")))
        except (msgspec.DecodeError, KeyError, IndexError, UnicodeDecodeError):
            return
        if asked is not None and not asked.done():
            asked.set_result(answers)


def mark(generation: int) -> str:
    """What a client's text says of its binding."""
    return f"rolltape binding {generation}"


def admission(project_id: str, device_id: str, generation: int, token: str) -> list[Command]:
    """What makes that token, and no other, the device's password; and what it may say and hear."""
    own = (project_id, device_id)
    says = [{"acltype": "publishClientSend", "topic": topic(*own, leaf), "allow": True, "priority": 0} for leaf in UP]
    hears = [{"acltype": "subscribeLiteral", "topic": topic(*own, leaf), "allow": True, "priority": 0} for leaf in DOWN]
    return [
        *removal(device_id),
        {"command": "createRole", "rolename": device_id, "acls": says + hears},
        {
            "command": "createClient",
            "username": device_id,
            "password": token,
            "clientid": device_id,
            "textname": mark(generation),
            "roles": [{"rolename": device_id}],
        },
    ]


def removal(device_id: str) -> list[Command]:
    """What ends it, and throws it out."""
    return [{"command": "deleteClient", "username": device_id}, {"command": "deleteRole", "rolename": device_id}]
