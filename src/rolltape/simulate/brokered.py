"""The way of devices on a broker: the channel's frames as messages, one question at a time, offers as they come."""

import asyncio
from itertools import cycle
from typing import Any, Final

from rolltape.mqtt.address import Address
from rolltape.simulate.channels import Channels
from rolltape.simulate.contact import Contact, Contacts
from rolltape.simulate.dice import Fate
from rolltape.simulate.heard import FrameHeard
from rolltape.simulate.heartbeats import beat_body
from rolltape.simulate.mqtt_line import MqttLine, Socket
from rolltape.wire.channel import MAX_HAVE
from rolltape.wire.mqtt import payload_of

PER_SOURCE: Final = 20_000
"""So many connections to a broker on this machine come from one of its loopback addresses: each has 28,000 ports."""
KEEPALIVE_SEC: Final = 7200
"""Devices say something far more often, and that is sign of life enough."""


class Brokered(Channels):
    """Connections to the brokers in turn, each for `per_line` devices."""

    def __init__(self, contacts: Contacts, brokers: list[tuple[Address, Any]], per_line: int) -> None:
        """`brokers`: each with its TLS context, or None."""
        super().__init__(contacts, [])
        self._brokers = cycle(brokers)
        self._per_line = per_line
        self._sockets: dict[int, Socket] = {}
        self._made = 0

    def is_ready(self, contact: Contact, now: float) -> bool:
        """Whether it is on the broker; if not, it goes there, which is a question of its own."""
        if contact.line is not None:
            return True
        facts = contact.device.facts
        line = MqttLine((facts.project_id, facts.id), self._opened, self._heard, self._lost)
        contact.line, contact.calling, contact.lost_at = line, True, now + self._contacts.world.patience
        self._lines[line] = (contact, now)
        line.on(self._socket_for(contact))
        self._contacts.timers.set(contact, contact.lost_at)
        return False

    def _socket_for(self, contact: Contact) -> Socket:
        if self._per_line == 1:
            facts = contact.device.facts
            return self._open_socket(Socket(facts.id, (facts.id, facts.token), KEEPALIVE_SEC))
        place = contact.number // self._per_line
        socket = self._sockets.get(place)
        if socket is None or socket.is_lost:
            socket = self._sockets[place] = self._open_socket(None)
        return socket

    def _open_socket(self, socket: Socket | None) -> Socket:
        address, tls = next(self._brokers)
        if socket is None:
            user = None if address.username is None else (address.username, address.password or "")
            socket = Socket(None, user, KEEPALIVE_SEC)
        task = asyncio.get_running_loop().create_task(self._connect(socket, address, tls))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return socket

    async def _connect(self, socket: Socket, address: Address, tls: Any) -> None:
        source = None
        if address.host.startswith("127."):
            source = (f"127.0.0.{2 + self._made // PER_SOURCE % 250}", 0)
        self._made += 1
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: socket, address.host, address.port, ssl=tls, local_addr=source
            )
        except OSError:
            socket.connection_lost(None)

    async def close(self) -> None:
        """Cuts all lines."""
        await super().close()
        for socket in self._sockets.values():
            socket.cut()

    def _say(self, contact: Contact, question: tuple[str, str | None], frame: Any, fate: Fate) -> None:
        payload = payload_of(frame, contact.device.facts.generation)
        self._put(contact, question, payload, fate)

    def _opened(self, line: Any) -> None:
        """The first word is a heartbeat: with it the server knows that the device is there."""
        found = self._lines.get(line)
        if found is None:
            return
        contact, now = found[0], self._clock.monotonic()
        self._begin(contact, now)
        line.awaits = ("heartbeat", None)
        first = {"type": "heartbeat", "have": contact.device.in_hand[:MAX_HAVE], **beat_body(contact, now)}
        line.say(payload_of(first, contact.device.facts.generation))

    def _take(self, contact: Contact, line: Any, frame: FrameHeard, text: bytes, now: float) -> None:
        if frame.type == "error" and frame.code == "token_revoked":
            self._contacts.over(contact)
        else:
            super()._take(contact, line, frame, text, now)
