"""The way of devices that stay connected: the live channel, one question at a time, offers as they come."""

import asyncio
from itertools import cycle
from typing import Any, Final

import msgspec

from rolltape.simulate.contact import Contact, Contacts, Wire
from rolltape.simulate.dice import Fate
from rolltape.simulate.heard import UNREADABLE, FrameHeard, ResultHeard, read_beat, read_frame
from rolltape.simulate.heartbeats import beat_body
from rolltape.simulate.line import Line
from rolltape.simulate.pool import Origin
from rolltape.wire.channel import MAX_HAVE, VERSION, Ack, Close, Pong, ReportFrame, encode
from rolltape.wire.command import ReportItem

_encode = msgspec.json.Encoder().encode
_ENDED: Final = frozenset({Close.REVOKED, Close.TOKEN_REPLACED})


class Channels:
    """WebSockets to the origins in turn."""

    always_answers = False

    def __init__(self, contacts: Contacts, origins: list[Origin]) -> None:
        self._contacts = contacts
        self._origins = cycle(origins)
        self._clock = contacts.world.clock
        self._opening: set[asyncio.Task[None]] = set()
        self._lines: dict[Wire, tuple[Contact, float]] = {}
        """Whose each line is, and when its hello or heartbeat that is open was said."""

    def __len__(self) -> int:
        """How many lines there are, those that are being opened among them."""
        return len(self._lines)

    def is_ready(self, contact: Contact, now: float) -> bool:
        """Whether its channel is up; if not, it is opened, which is a question of its own."""
        if contact.line is not None:
            return True
        origin = next(self._origins)
        line = Line(origin, contact.device.facts.token, self._opened, self._heard, self._lost)
        contact.line, contact.calling, contact.lost_at = line, True, now + self._contacts.world.patience
        self._lines[line] = (contact, now)
        task = asyncio.get_running_loop().create_task(self._open(line, origin))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        self._contacts.timers.set(contact, contact.lost_at)
        return False

    def beat(self, contact: Contact, fate: Fate, now: float) -> None:
        """A heartbeat."""
        self._begin(contact, now)
        self._say(contact, ("heartbeat", None), {"type": "heartbeat", **beat_body(contact, now)}, fate)

    def ask(self, contact: Contact, command_id: str, fate: Fate, now: float) -> None:
        """An acknowledgement."""
        self._say(contact, ("ack", command_id), Ack(id=command_id), fate)

    def tell(self, contact: Contact, report: ReportItem, fate: Fate, now: float) -> None:
        """A report."""
        frame = ReportFrame(
            id=report.id,
            status=report.status,
            executed_at=report.executed_at,
            result=report.result,
            error=report.error,
        )
        self._say(contact, ("report", report.id), frame, fate)

    def leave(self, contact: Contact) -> None:
        """The line is cut."""
        line, contact.line = contact.line, None
        if line is not None:
            self._lines.pop(line, None)
            line.cut()

    async def close(self) -> None:
        """Cuts all lines."""
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for contact, _ in list(self._lines.values()):
            self.leave(contact)

    async def _open(self, line: Line, origin: Origin) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: line, origin.host, origin.port, ssl=origin.tls)
        except OSError:
            self._lost(line, None, None)

    def _begin(self, contact: Contact, now: float) -> None:
        if contact.line is not None:
            self._lines[contact.line] = (contact, now)

    def _say(self, contact: Contact, question: tuple[str, str | None], frame: Any, fate: Fate) -> None:
        self._put(contact, question, _encode(frame), fate)

    def _put(self, contact: Contact, question: tuple[str, str | None], text: bytes, fate: Fate) -> None:
        line = contact.line
        assert line is not None, "is_ready has seen to that"
        line.awaits = question
        match fate:
            case Fate.WELL:
                line.say(text)
            case Fate.UNSENT:
                line.fall_deaf()
            case Fate.UNHEARD:
                line.say(text)
                line.fall_deaf()
            case Fate.CUT:
                line.say_half(text)
            case Fate.CUT_AFTER:
                line.say(text)
                line.close()
            case Fate.TWICE:
                line.say(text)
                line.say(text)

    # What is heard

    def _opened(self, line: Any) -> None:
        found = self._lines.get(line)
        if found is None:
            return
        contact, now = found[0], self._clock.monotonic()
        self._begin(contact, now)
        hello = {"type": "hello", "v": VERSION, "have": contact.device.in_hand[:MAX_HAVE], **beat_body(contact, now)}
        line.awaits = ("hello", None)
        line.say(_encode(hello))

    def _heard(self, line: Wire, text: bytes) -> None:
        found = self._lines.get(line)
        if found is None:
            return
        contact, now = found[0], self._clock.monotonic()
        life = contact.device.life
        try:
            self._take(contact, line, read_frame(text), text, now)
        except UNREADABLE:
            self.leave(contact)
            self._contacts.failed(contact, now)
        if contact.device.life != life:
            self._contacts.power_went(contact, now)
        else:
            self._contacts.turn(contact, now)

    def _take(self, contact: Contact, line: Wire, frame: FrameHeard, text: bytes, now: float) -> None:
        device = contact.device
        match frame.type:
            case "offer" if frame.command is not None:
                device.offered(frame.command, now)
            case "ping":
                line.say(encode(Pong(ref=frame.ref)).encode())
            case "hello" | "heartbeat":
                answer = read_beat(text)
                device.heard(answer, self._lines[line][1], now)
                self._contacts.next_beat(contact, answer.next_heartbeat_sec, now)
                self._answered(contact, line, (frame.type, None), now)
            case "error":
                self._contacts.failed(contact, now)
            case _ if frame.id is not None:
                self._take_about(contact, line, frame, frame.id, now)

    def _take_about(self, contact: Contact, line: Wire, frame: FrameHeard, command_id: str, now: float) -> None:
        """A frame about one command."""
        device = contact.device
        match frame.type:
            case "revoked":
                device.revoked(command_id, frame.status)
            case "go" | "no_go":
                device.heard_go(command_id, frame.type == "go", now)
                self._answered(contact, line, ("ack", command_id), now)
            case "report":
                if ResultHeard(id=command_id, ok=frame.ok, error=frame.error).is_told:
                    device.told(command_id)
                self._answered(contact, line, ("report", command_id), now)

    def _answered(self, contact: Contact, line: Wire, question: tuple[str, str | None], now: float) -> None:
        """An answer came; one to a question's double isn't the one that is waited for."""
        if line.awaits == question:
            line.awaits = None
            self._contacts.answered(contact, now)

    def _lost(self, line: Wire, refusal: int | None, code: int | None) -> None:
        contact, _ = self._lines.pop(line, (None, 0.0))
        if contact is None or contact.line is not line:
            return
        contact.line = None
        now = self._clock.monotonic()
        if refusal == 401 or code in _ENDED:
            self._contacts.over(contact)
        else:
            self._contacts.failed(contact, now)
        self._contacts.turn(contact, now)
