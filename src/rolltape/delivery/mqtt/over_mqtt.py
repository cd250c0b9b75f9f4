"""A broker that speaks MQTT 5 with shared subscriptions: Mosquitto, EMQX, VerneMQ and others.

Each node is a client of its own, without a session: what the broker had given to a node that died is said again by its
device, which got no answer. A session would be worse than none: the broker would go on dealing messages to a dead node.
"""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

from rolltape.backoff import Backoff
from rolltape.delivery.mqtt.broker import Hear
from rolltape.mqtt.address import Address
from rolltape.mqtt.link import Link, LinkLost, Manner
from rolltape.wire.mqtt import ROOT, SHARE, UP, Place, place_of, topic

log = logging.getLogger("rolltape.mqtt")
CONNECT_SEC: Final = 10.0
LEAVE_SEC: Final = 2.0
STEADY_SEC: Final = 30.0
AT_ONCE: Final = 2000
"""So many messages the broker gives to a node before it has to acknowledge one: the rest waits at the broker, or goes
to another node."""
FILTERS: Final = [f"$share/{SHARE}/{ROOT}/+/+/{leaf}" for leaf in UP]


class MqttBroker:
    """`on_up` is called each time that a connection has come about."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None, hear: Hear, random: Random) -> None:
        self._address = address
        self._tls = tls
        self._hear_place = hear
        self._random = random
        self._link: Link | None = None
        self.client_id = f"rolltape-node-{secrets.token_hex(6)}"
        self.came_up = asyncio.Event()

    @property
    def is_up(self) -> bool:
        return self._link is not None and self._link.is_up

    def say(self, place: Place, payload: bytes, *, sure: bool, expiry_sec: int) -> bool:
        link = self._link
        return link is not None and link.publish(topic(*place), payload, 1 if sure else 0, expiry_sec)

    async def leave(self) -> None:
        if self._link is not None:
            with suppress(LinkLost):
                await self._link.unsubscribe(FILTERS, LEAVE_SEC)

    async def run(self) -> None:
        backoff = Backoff(0.5, 15.0, self._random, least=0.1)
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._once()
            except LinkLost as trouble:
                log.warning("no MQTT broker at %s: %s", self._address.shown, trouble)
            if loop.time() - began >= STEADY_SEC:
                backoff.succeeded()
            await asyncio.sleep(backoff.next())

    async def _once(self) -> None:
        manner = Manner(
            client_id=self.client_id,
            username=self._address.username,
            password=self._address.password,
            at_once=AT_ONCE,
            tls=self._tls,
        )
        link = Link(self._address, manner, self._hear)
        try:
            await link.connect(CONNECT_SEC)
            await link.subscribe(FILTERS, CONNECT_SEC)
            self._link = link
            self.came_up.set()
            log.info("the MQTT broker at %s is there", self._address.shown)
            raise LinkLost(await link.gone())
        finally:
            self._link = None
            self.came_up.clear()
            await link.close()

    def _hear(self, name: str, payload: bytes, done: Callable[[], None]) -> None:
        place = place_of(name)
        if place is None:
            done()
        else:
            self._hear_place(place, payload, done)
