"""What a device asks of the relay, or wants kept: served one at a time, in the order in which it came."""

import asyncio
from collections import deque
from typing import Any

from rolltape.relay.carry import Carrier
from rolltape.relay.fetch import Fetcher
from rolltape.relay.give import Giver
from rolltape.relay.line import Answer, Unreachable, json
from rolltape.relay.log import log
from rolltape.relay.parts import Parts
from rolltape.relay.server import with_receipt
from rolltape.relay.shelf import Facts, ShelfFull
from rolltape.relay.spool import SpoolFull, Word
from rolltape.relay.talk import Junk, Talk
from rolltape.relay.upload import NotTaken, is_uploaded
from rolltape.wire.ble.to_device import Offline, SignedAnswer, Taken
from rolltape.wire.ble.to_relay import Challenge, Recording, Report, State
from rolltape.wire.keys import b64url

MOST_WAITING = 64
"""More messages than this that wait to be served, and the device is talking to itself."""
WAITER_SEC = 4.0
"""A device that waits for an answer is told soon that there is none: it goes on by itself after 10 s."""
_PER_SEC, _BURST = 5.0, 40.0
_AGAIN_SEC = 2.0
Asked = Challenge | Report | State | Recording


class NotOurs(Exception):
    """The server doesn't know this device as one that this relay may serve."""


class Desk:
    """The loop that serves."""

    def __init__(
        self, parts: Parts, carrier: Carrier, device_id: str, talk: Talk, fetcher: Fetcher, giver: Giver
    ) -> None:
        self._parts, self._carrier, self._device_id, self._talk = parts, carrier, device_id, talk
        self._fetcher, self._giver = fetcher, giver
        self._waiting: deque[Asked] = deque()
        self._came = asyncio.Event()
        self._is_serving = False
        self._room, self._filled = _BURST, parts.clock.monotonic()

    @property
    def is_busy(self) -> bool:
        """Whether something waits or is being served."""
        return self._is_serving or bool(self._waiting)

    def put(self, message: Asked) -> None:
        """A message of the device. Raises Junk when too many wait."""
        if len(self._waiting) >= MOST_WAITING:
            raise Junk("says more than can be served")
        self._waiting.append(message)
        self._came.set()

    async def run(self) -> None:
        """For ever. Raises LinkLost, TokenEnded, NotOurs."""
        while True:
            if not self._waiting:
                self._came.clear()
                await self._came.wait()
            self._is_serving = True
            try:
                await self._turn()
                await self._serve(self._waiting.popleft())
            finally:
                self._is_serving = False

    async def _turn(self) -> None:
        """No device takes more than its part of the calls that the server allows this relay."""
        now = self._parts.clock.monotonic()
        self._room = min(_BURST, self._room + (now - self._filled) * _PER_SEC) - 1
        self._filled = now
        if self._room < 0:
            await self._parts.clock.sleep(-self._room / _PER_SEC)

    async def _serve(self, message: Asked) -> None:
        try:
            if isinstance(message, Challenge):
                await self._answer(message)
            elif isinstance(message, Recording):
                await self._recording(message)
            else:
                await self._keep(message)
        except SpoolFull:
            log(f"{self._device_id}: the spool is full: it keeps what it has to tell")
        except ShelfFull:
            log(f"{self._device_id}: no room for its recording: it keeps it")
        except ValueError as error:
            log(f"{self._device_id}: a {type(message).__name__} that can't be carried: {error}")

    async def _answer(self, asked: Challenge) -> None:
        try:
            answer = await self._ask_patiently(asked)
        except Unreachable as trouble:
            if trouble.offline:
                self._parts.network.lost(trouble)
                self._hold_ack(asked)
                await self._talk.say(Offline())
            return
        if isinstance(answer, Answer):
            log(f"{self._device_id}: no answer to its challenge: {answer.said}")
            if answer.status in {403, 404}:
                self._parts.grants.clear(self._device_id)
                self._parts.former.pop(self._device_id, None)
                self._parts.bells.devices.ring()
                raise NotOurs
            return
        if asked.command_id is not None:
            self._giver.has(asked.command_id)
        await self._talk.say(SignedAnswer(answer))

    async def _ask_patiently(self, asked: Challenge) -> bytes | Answer:
        """A server that can't answer just now is asked once more."""
        try:
            return await self._ask_server(asked)
        except Unreachable as trouble:
            if trouble.offline:
                raise
            await self._parts.clock.sleep(min(trouble.retry_after or 0.0, _AGAIN_SEC))
            return await self._ask_server(asked)

    async def _ask_server(self, asked: Challenge) -> bytes | Answer:
        """First what is held of the command, so that the answer knows of it; then the question."""
        question: dict[str, Any] = {"nonce": b64url(asked.nonce)}
        if asked.command_id is not None:
            question["jti"] = asked.command_id
            await self._acknowledge(asked)
        if asked.recording_id is not None:
            question["recording_id"] = asked.recording_id
        if asked.floor:
            question["seq_floor"] = True
        answer = await self._parts.server.challenge(self._device_id, question, timeout=WAITER_SEC)
        self._parts.token_works()
        return answer

    async def _acknowledge(self, asked: Challenge) -> None:
        assert asked.command_id is not None
        await self._carrier.carry(self._device_id, asked.command_id, timeout=WAITER_SEC)
        body = self._ack_of(asked)
        if body is not None:
            await self._parts.server.ack(self._device_id, asked.command_id, body, timeout=WAITER_SEC)

    def _ack_of(self, asked: Challenge) -> bytes | None:
        """The acknowledgement that goes with a challenge: no mere word, where the device has a key to sign with."""
        if asked.ack_receipt is not None:
            return json({"receipt": b64url(asked.ack_receipt)})
        device = self._parts.known(self._device_id)
        return json({}) if device is not None and not device.has_key else None

    def _hold_ack(self, asked: Challenge) -> None:
        body = self._ack_of(asked)
        if asked.command_id is None or body is None:
            return
        self._giver.has(asked.command_id)
        word = Word(kind="ack", device_id=self._device_id, about=asked.command_id, body=body.decode())
        self._parts.spool.put(word)
        self._parts.bells.carry.ring()

    async def _keep(self, message: Report | State) -> None:
        body = with_receipt(message.json, message.receipt).decode()
        if isinstance(message, Report):
            self._giver.has(message.command_id)
            word = Word(kind="report", device_id=self._device_id, about=message.command_id, body=body)
            taken = Taken(what=0x83, id=message.command_id)
        else:
            word, taken = Word(kind="state", device_id=self._device_id, body=body), Taken(what=0x84)
        self._parts.spool.put(word)
        await self._talk.say(taken)
        self._parts.bells.carry.ring()

    async def _recording(self, told: Recording) -> None:
        if self._parts.refused.holds(self._device_id, told.recording_id):
            return
        facts = self._facts(told)
        try:
            if await is_uploaded(self._parts, facts):
                await self._talk.say(Taken(what=0x85, id=told.recording_id))
                self._parts.told(self._device_id)
                return
        except NotTaken as refusal:
            log(f"{told.recording_id}: not taken: {refusal}")
            self._parts.refused.note(self._device_id, told.recording_id)
            return
        except Unreachable as trouble:
            if trouble.offline:
                self._parts.network.lost(trouble)
        if told.complete is not None and told.size > 0:
            await self._shelve(facts)

    async def _shelve(self, facts: Facts) -> None:
        held = self._parts.shelf.announce(facts)
        if held.is_whole:
            await self._talk.say(Taken(what=0x85, id=facts.recording_id))
            self._parts.bells.upload.ring()
        else:
            self._fetcher.want(facts.recording_id)

    def _facts(self, told: Recording) -> Facts:
        complete = b"{}" if told.complete is None else told.complete
        return Facts(
            device_id=self._device_id,
            recording_id=told.recording_id,
            create=with_receipt(told.create, told.create_receipt).decode(),
            complete=with_receipt(complete, told.complete_receipt).decode(),
            content_type=told.content_type,
            size=told.size,
            sha256=(told.sha256 or b"").hex(),
        )
