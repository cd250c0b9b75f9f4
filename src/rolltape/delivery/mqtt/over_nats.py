"""NATS: devices speak MQTT 3.1.1 with it, the nodes its own protocol, as one queue group.

Its MQTT side takes `$share` subscriptions and delivers nothing to them. A topic `a/b/c` is the subject `a.b.c`. What a
node says reaches a device with QoS 0, and no expiry is known: an offer that is lost is made again, and one that comes
too late is refused by the device and by the server.
"""

import asyncio
import logging
import ssl
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error

from rolltape.backoff import Backoff
from rolltape.delivery.mqtt.broker import Hear
from rolltape.mqtt.address import Address
from rolltape.mqtt.nats_client import close, connect
from rolltape.mqtt.nats_login import read_login
from rolltape.wire.mqtt import ROOT, SHARE, UP, Place, place_of, topic

log = logging.getLogger("rolltape.mqtt")
CONNECT_SEC: Final = 10
MOST_PENDING_BYTES: Final = 64 * 1024 * 1024


def _nothing() -> None:
    """NATS waits for no word that a message was dealt with."""


class NatsBroker:
    """One connection, opened again and again."""

    def __init__(
        self, address: Address, tls: ssl.SSLContext | None, credentials: Path | None, hear: Hear, random: Random
    ) -> None:
        self._address = address
        self._tls = tls
        self._credentials = credentials
        self._hear_place = hear
        self._random = random
        self._client: Client | None = None
        self._subscriptions: list[Subscription] = []
        self._saying: set[asyncio.Task[None]] = set()
        self.came_up = asyncio.Event()

    @property
    def is_up(self) -> bool:
        return self._client is not None and self._client.is_connected

    def say(self, place: Place, payload: bytes, *, sure: bool, expiry_sec: int) -> bool:
        client = self._client
        if client is None or not client.is_connected or client.pending_data_size > MOST_PENDING_BYTES:
            return False
        task = asyncio.get_running_loop().create_task(self._publish(client, topic(*place, sep="."), payload))
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)
        return True

    async def _publish(self, client: Client, subject: str, payload: bytes) -> None:
        try:
            await client.publish(subject, payload)
        except (Error, OSError) as error:
            log.debug("a message was lost: %s", error)

    async def leave(self) -> None:
        for subscription in self._subscriptions:
            with suppress(Error, OSError):
                await subscription.unsubscribe()

    async def run(self) -> None:
        backoff = Backoff(0.5, 15.0, self._random, least=0.1)
        while True:
            try:
                await self._once()
                backoff.succeeded()
            except (Error, OSError, TimeoutError) as trouble:
                log.warning("no NATS server at %s: %s", self._address.shown, trouble or type(trouble).__name__)
            await asyncio.sleep(backoff.next())

    async def _once(self) -> None:
        closed = asyncio.Event()
        client = await open_nats(self._address, self._tls, self._credentials, closed)
        try:
            self._subscriptions = [
                await client.subscribe(f"{ROOT}.*.*.{leaf}", queue=SHARE, cb=self._hear) for leaf in UP
            ]
            await client.flush(CONNECT_SEC)
            self._client = client
            self.came_up.set()
            log.info("the NATS server at %s is there", self._address.shown)
            await closed.wait()
        finally:
            self._client = None
            self.came_up.clear()
            await close(client)

    async def _hear(self, message: Any) -> None:
        place = place_of(message.subject, sep=".")
        if place is not None:
            self._hear_place(place, message.data, _nothing)


async def open_nats(
    address: Address, tls: ssl.SSLContext | None, credentials: Path | None, closed: asyncio.Event
) -> Client:
    """A connection; `closed` is set once it is lost. Raises nats.errors.Error, OSError, TimeoutError."""
    return await connect(
        [f"{address.scheme}://{address.host}:{address.port}"],
        tls,
        None if credentials is None else read_login(credentials),
        closed.set,
        seconds=CONNECT_SEC,
        user=address.username,
        password=address.password,
    )
