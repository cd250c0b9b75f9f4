"""The device's half of a conversation with a relay (docs/ble.md), whatever the radio.

A relay is not trusted. It brings grants, which are checked as always, and answers that the server signed for a question
of this device. Nothing else that it says starts, ends or forgets anything that matters; at worst it costs time.
"""

import asyncio

from rolltape.recorder.air.answers import Answers
from rolltape.recorder.air.nonces import Nonces
from rolltape.recorder.air.pieces import Pieces
from rolltape.recorder.air.tell import Tell, Told
from rolltape.recorder.ble.link import Link, LinkClosed
from rolltape.recorder.device_key import Receipts
from rolltape.recorder.intake import Intake
from rolltape.recorder.journal import Entry
from rolltape.recorder.log import log
from rolltape.recorder.parts import Parts
from rolltape.recorder.transport import Unreachable
from rolltape.wire.ble import to_device, to_relay
from rolltape.wire.ble.frames import ResultCode
from rolltape.wire.ble.service import VERSION
from rolltape.wire.claims import GrantRefused

ANSWER_SEC = 10.0
"""A relay that brings no answer for so long has no network."""
_MOST_REVOKED = 256


class Session:
    """Is the radio's AirSession, and for the loop that obeys the Air that it asks. One link at a time."""

    def __init__(self, parts: Parts, intake: Intake, receipts: Receipts) -> None:
        self._parts = parts
        self._intake = intake
        self._receipts = receipts
        self._nonces = Nonces(parts.clock)
        self._answers = Answers(parts, self._nonces)
        self._pieces = Pieces(parts)
        self.tell = Tell(parts, self._nonces, receipts)
        self._link: Link | None = None
        self._asked: tuple[str, asyncio.Future[bool | None]] | None = None
        self._revoked: set[str] = set()

    @property
    def device_id(self) -> str:
        """Whose tag is advertised."""
        return self._parts.identity.known.device_id or ""

    @property
    def holds(self) -> bool:
        """Whether there is anything that no signed answer has confirmed."""
        return self.tell.is_any

    @property
    def is_open(self) -> bool:
        """Whether a relay is there that has said hello."""
        return self.tell.now is not None

    async def opened(self, link: Link) -> None:
        """A relay has connected."""
        self._link = link

    def closed(self) -> None:
        """It is gone, and with it all that it only said."""
        self._link = self.tell.now = None
        self._revoked.clear()
        self._settle(None)

    async def received(self, message: to_device.ToDevice) -> None:
        """Take a message. Raises LinkClosed."""
        told = self.tell.now
        if isinstance(message, to_device.Hello):
            await self._hello(message)
        elif told is None:
            await self._result(message.type, ResultCode.VERSION, "HELLO comes first")
        else:
            await self._take(told, message)

    async def ask(self, entry: Entry) -> bool:
        """Whether to act: what the server says by way of this relay, or, where that is silent, the grant alone.

        Raises Unreachable.
        """
        told = self.tell.now
        if told is None:
            raise Unreachable("no relay is here")
        future: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        self._asked = (entry.id, future)
        try:
            await told.link.send(self._challenge(entry))
            await self._parts.clock.wait(asyncio.wait({future}), ANSWER_SEC)
        except LinkClosed:
            raise Unreachable("the relay is gone") from None
        finally:
            self._asked = None
        if future.done() and (said := future.result()) is not None:
            return said
        if self.tell.now is not told:
            raise Unreachable("the relay is gone")
        return self._by_grant_alone(entry)

    def _challenge(self, entry: Entry) -> to_relay.Challenge:
        receipt = self._receipts.of("delivered", command_id=entry.id, generation=entry.gen)
        nonce = self._nonces.ask(command_id=entry.id, wants_go=True, wants_floor=self._parts.replay.lost)
        return to_relay.Challenge(nonce=nonce, command_id=entry.id, ack_receipt=receipt, floor=self._parts.replay.lost)

    def _by_grant_alone(self, entry: Entry) -> bool:
        """A grant from the air is short-lived for this: it is go where nobody can be asked, but not without time."""
        if not entry.came_by_air:
            raise Unreachable("no answer, and its grant came by another way")
        if entry.id in self._revoked:
            raise Unreachable("no answer, and the relay says that it was revoked")
        if self._parts.trusted.now_ms() is None and entry.type != "stop_recording":
            raise Unreachable("no answer, and no trusted time since power-up")
        log(f"{entry.id}: the relay has no answer, so the grant alone is go")
        return True

    async def _hello(self, hello: to_device.Hello) -> None:
        link = self._link
        if link is None:
            raise LinkClosed
        if hello.version != VERSION:
            await self._result(hello.type, ResultCode.VERSION, f"this device speaks version {VERSION}")
            return
        reports, recordings = len(self._parts.journal.untold()), len(self._parts.tapes.waiting())
        await link.send(to_relay.Welcome(mtu=link.mtu, reports=reports, recordings=recordings))
        told = self.tell.now
        if told is None:
            told = self.tell.now = Told(link)
        told.is_offline = not hello.online
        await self._ask_for_time(told)
        self._parts.bells.obey.ring()
        self._parts.bells.air.ring()

    async def _ask_for_time(self, told: Told) -> None:
        lost = self._parts.replay.lost
        if not told.is_offline and (lost or self._parts.trusted.now_ms() is None):
            nonce = self._nonces.ask(wants_floor=lost)
            await told.link.send(to_relay.Challenge(nonce=nonce, floor=lost))

    async def _take(self, told: Told, message: to_device.ToDevice) -> None:
        match message:
            case to_device.Grant():
                await self._grant(message)
            case to_device.SignedAnswer():
                await self._answer(message)
            case to_device.Fetch():
                await told.link.send(self._pieces.answer(message, is_encrypted=told.link.is_encrypted))
            case _:
                self._note(told, message)

    def _note(self, told: Told, message: to_device.ToDevice) -> None:
        """What a relay merely says."""
        match message:
            case to_device.Revoke() if len(self._revoked) < _MOST_REVOKED:
                self._revoked.add(message.command_id)
            case to_device.Offline():
                told.is_offline = True
                self._settle(None)
            case to_device.Next():
                told.nexts += 1
                told.is_offline = False  # it may have its network again; if not, it says so at the first question
                self._parts.bells.air.ring()
            case to_device.Taken():
                self.tell.taken(message)

    async def _grant(self, message: to_device.Grant) -> None:
        try:
            self._intake.take_from_air(message.cwt)
        except GrantRefused as refused:
            log(f"a grant from the air is refused: {refused.message}")
            await self._result(message.type, ResultCode.GRANT_REFUSED, str(refused.failure))
        except BlockingIOError as full:
            await self._result(message.type, ResultCode.BUSY, str(full))
        else:
            await self._result(message.type, ResultCode.OK, "")

    async def _answer(self, message: to_device.SignedAnswer) -> None:
        had_time = self._parts.trusted.now_ms() is not None
        try:
            answer, question = await self._answers.take(message.cwt)
        except ValueError as error:
            log(f"an answer is not believed: {error}")
            await self._result(message.type, ResultCode.BAD_BODY, str(error))
            return
        if not had_time:
            self._parts.bells.obey.ring()
        if question.wants_go and answer.go is not None and answer.jti == question.command_id:
            self._settle(answer.go, answer.jti)

    def _settle(self, said: bool | None, command_id: str | None = None) -> None:
        """The question of the loop that obeys is answered, or (None) will not be."""
        if self._asked is None:
            return
        about, future = self._asked
        if not future.done() and (said is None or about == command_id):
            future.set_result(said)

    async def _result(self, about: int, code: ResultCode, detail: str) -> None:
        if self._link is None:
            raise LinkClosed
        await self._link.send(to_relay.Result(about=about, code=code, detail=detail))
