"""The way of devices that sleep: heartbeats, with acknowledgements and reports in them or as calls of their own."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec

from rolltape.simulate.contact import Contact, Contacts
from rolltape.simulate.dice import Fate
from rolltape.simulate.heard import UNREADABLE, error_code, read_beat
from rolltape.simulate.pool import Cut, Origin, Pool, Reply
from rolltape.wire.command import ReportItem

_encode = msgspec.json.Encoder().encode
_NOTHING_KNOWN: Final = frozenset({0, 408, 429})
Heard = Callable[[Contact, Reply, float, float], None]
"""Takes an answer: of whom, what, when the question was sent, and now."""


def beat_body(contact: Contact, now: float) -> dict[str, Any]:
    """What a heartbeat says, or a hello: a frugal device's questions and reports are in it."""
    device = contact.device
    body = device.state(now)
    if contact.is_frugal:
        if (question := device.question()) is not None:
            body["acks"] = [question]
        if device.untold:
            body["results"] = list(device.untold.values())
    return body


class Heartbeats:
    """Calls over the pool's connections."""

    always_answers = True

    def __init__(self, contacts: Contacts, pool: Pool, origin: Origin) -> None:
        self._contacts = contacts
        self._pool = pool
        self._clock = contacts.world.clock
        self._before = f"POST {origin.prefix}/v1/devices/me/"
        self._after = f" HTTP/1.1\r\nHost: {origin.host_header}\r\nAuthorization: Bearer "

    def is_ready(self, contact: Contact, now: float) -> bool:
        """Always: it sleeps in between."""
        return True

    def beat(self, contact: Contact, fate: Fate, now: float) -> None:
        """A heartbeat."""
        self._call(contact, "heartbeat", beat_body(contact, now), self._heard_beat, fate, now)

    def ask(self, contact: Contact, command_id: str, fate: Fate, now: float) -> None:
        """An acknowledgement."""
        self._call(contact, f"commands/{command_id}/ack", None, partial(self._heard_ack, command_id), fate, now)

    def tell(self, contact: Contact, report: ReportItem, fate: Fate, now: float) -> None:
        """A report."""
        self._call(contact, f"commands/{report.id}/report", report, partial(self._heard_report, report.id), fate, now)

    def leave(self, contact: Contact) -> None:
        """It holds no connection of its own."""

    def _call(self, contact: Contact, path: str, body: object, heard: Heard, fate: Fate, now: float) -> None:
        payload = b"" if body is None else _encode(body)
        head = f"{self._before}{path}{self._after}{contact.device.facts.token}\r\n"
        request = f"{head}Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n".encode() + payload
        done = partial(self._answered, contact, heard, now, contact.device.life)
        match fate:
            case Fate.WELL:
                self._pool.call(request, done)
            case Fate.UNHEARD:
                self._pool.call(request, _unheard)
            case Fate.CUT:
                self._pool.call(request, done, Cut.HALFWAY)
            case Fate.CUT_AFTER:
                self._pool.call(request, done, Cut.AFTER)
            case Fate.TWICE:
                self._pool.call(request, partial(self._echoed, contact, heard, now, contact.device.life))
                self._pool.call(request, done)

    def _answered(self, contact: Contact, heard: Heard, sent: float, life: int, reply: Reply) -> None:
        now = self._clock.monotonic()
        if contact.device.life != life or not contact.calling or now >= contact.lost_at:
            return  # the power has gone since, or it was given up: nobody listens
        if reply.status in _NOTHING_KNOWN or reply.status >= 500:
            self._contacts.world.figures[f"http_{reply.status}" if reply.status else "broken_off"] += 1
            self._contacts.failed(contact, now, _seconds(reply.retry_after))
        elif reply.status == 401:
            self._contacts.over(contact)
        else:
            try:
                heard(contact, reply, sent, now)
            except UNREADABLE:
                self._contacts.failed(contact, now)
            else:
                self._contacts.answered(contact, now)
        self._contacts.turn(contact, now)

    def _echoed(self, contact: Contact, heard: Heard, sent: float, life: int, reply: Reply) -> None:
        """The answer to the same call's double."""
        now = self._clock.monotonic()
        if contact.device.life == life and reply.status == 200:
            with suppress(*UNREADABLE):
                heard(contact, reply, sent, now)
            if contact.device.life != life:
                self._contacts.power_went(contact, now)

    def _heard_beat(self, contact: Contact, reply: Reply, sent: float, now: float) -> None:
        answer = read_beat(reply.body)
        contact.device.heard(answer, sent, now)
        self._contacts.next_beat(contact, answer.next_heartbeat_sec, now)

    def _heard_ack(self, command_id: str, contact: Contact, reply: Reply, sent: float, now: float) -> None:
        if reply.status == 200:
            contact.device.heard_go(command_id, _go_in(reply.body), now)
        elif reply.status in (404, 409):
            contact.device.heard_go(command_id, False, now)
        else:
            raise ValueError(reply.status)

    def _heard_report(self, command_id: str, contact: Contact, reply: Reply, sent: float, now: float) -> None:
        if reply.status in (200, 404) or error_code(reply.body) == "result_conflict":
            contact.device.told(command_id)
        else:
            raise ValueError(reply.status)


class _GoHeard(msgspec.Struct, frozen=True):
    go: bool = False


_read_go = msgspec.json.Decoder(_GoHeard).decode


def _go_in(body: bytes) -> bool:
    return _read_go(body).go


def _unheard(reply: Reply) -> None:
    """Whatever it was."""


def _seconds(retry_after: str | None) -> float:
    return float(retry_after[:4]) if retry_after is not None and retry_after.isdigit() else 0.0
