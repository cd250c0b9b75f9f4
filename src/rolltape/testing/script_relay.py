"""A server and a relay in one, in a test's hand, for a recorder behind relays: real grants, answers and receipts.

The relay carries honestly what comes, unless a test makes it lie. It lives in the recorder's own thread; what a test
calls here may be called from any.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from rolltape.clock import SystemClock
from rolltape.recorder.air.session import Session
from rolltape.recorder.ble.link import LinkClosed
from rolltape.testing.air_server import AirCommand, AirRecording, AirServer
from rolltape.testing.recorder import FakeRecorder
from rolltape.wire.ble import to_device, to_relay
from rolltape.wire.ble.inbox import Message
from rolltape.wire.keys import Signer

M = TypeVar("M")
_ENDED = {"executed", "failed"}


class ScriptedLink:
    """One connection. `cut_after`: so many messages of the device go through, then it is gone."""

    def __init__(self, heard: Callable[[Message], None], *, encrypted: bool, cut_after: int | None) -> None:
        self._heard = heard
        self._left = cut_after
        self.is_encrypted = encrypted
        self.mtu = 185
        self.is_closed = False
        self.gone: Callable[[], None] = lambda: None

    async def send(self, message: Message) -> None:
        if self._left == 0:
            self.gone()
        if self.is_closed:
            raise LinkClosed
        if self._left is not None:
            self._left -= 1
        self._heard(message)

    async def close(self) -> None:
        self.gone()


class ScriptRelay(AirServer):
    """Honest until told otherwise.

    `heard`: all that the device said and nobody waited for. `when_heard` is called with it in the recorder's thread.
    online: what it says in HELLO, and to questions. answers: whether it brings any. fetches: whether it fetches sound.
    carries: whether what is told comes to the server. confirms_taken: whether it says TAKEN.
    """

    def __init__(self, *, signer: Signer | None = None) -> None:
        super().__init__(signer=signer)
        self.online = self.answers = self.carries = self.fetches = self.confirms_taken = True
        self.encrypted = True
        self.heard: list[Message] = []
        self.states: list[dict[str, Any]] = []
        self.answered: list[bytes] = []
        self.link: ScriptedLink | None = None
        self.when_heard: Callable[[Message], object] = lambda message: None
        self._changed = threading.Condition()
        self._clock = SystemClock()
        self._todo: asyncio.Queue[Message] | None = None
        self._recorder: FakeRecorder | None = None

    # --- what a test does --------------------------------------------------------------------------------------

    def connect(self, recorder: FakeRecorder, *, cut_after: int | None = None, next: bool = True) -> None:
        """Connect, say HELLO and NEXT."""
        self._recorder = recorder
        recorder.on_air(lambda session: self._open(session, cut_after))
        self.say(to_device.Hello(online=self.online))
        if next:
            self.say(to_device.Next())

    def say(self, *messages: to_device.ToDevice) -> None:
        """Say something to the device. Nothing happens when the link is gone."""
        assert self._recorder is not None
        for message in messages:
            self._recorder.on_air(lambda session, message=message: self._say(session, message))  # type: ignore[misc]

    def give(self, command: AirCommand) -> AirCommand:
        """Give the device its grant."""
        self.say(to_device.Grant(command.grant))
        return command

    def leave(self) -> None:
        """Disconnect."""
        assert self._recorder is not None
        self._recorder.on_air(self._leave)

    def wait_for(self, kind: type[M], holds: Callable[[M], bool] = lambda message: True, seconds: float = 15.0) -> M:
        """The first message of that kind that was not waited for before."""
        found: list[M] = []

        def is_there() -> bool:
            for number, message in enumerate(self.heard):
                if isinstance(message, kind) and holds(message):
                    found.append(message)
                    del self.heard[number]
                    return True
            return False

        self.wait_until(is_there, kind.__name__, seconds)
        return found[0]

    def wait_until(self, holds: Callable[[], bool], what: str = "", seconds: float = 15.0) -> None:
        """Wait for something, looked at on each message and twenty times a second. AssertionError after `seconds`."""
        until = self._clock.monotonic() + seconds
        while not holds():  # without the lock: the question may be for the recorder's own thread
            heard = [type(message).__name__ for message in self.heard]
            assert self._clock.monotonic() < until, f"in vain: {what or holds}; heard: {heard}"
            with self._changed:
                self._changed.wait(0.05)
        assert not self.wrong, self.wrong

    def wait_status(self, command: AirCommand, status: str) -> AirCommand:
        """Wait until the command has that status."""
        self.wait_until(lambda: command.status == status, f"{command.claims.type} {status}")
        return command

    # --- in the recorder's thread -----------------------------------------------------------------------------

    async def _open(self, session: Session, cut_after: int | None) -> None:
        if self.link is not None:
            await self._leave(session)
        self._todo = asyncio.Queue()
        self.link = link = ScriptedLink(self._hear, encrypted=self.encrypted, cut_after=cut_after)
        serving = asyncio.create_task(self._serve(session, self._todo, link))

        def gone() -> None:
            if not link.is_closed:
                link.is_closed = True
                serving.cancel()
                session.closed()

        link.gone = gone
        await session.opened(link)

    async def _leave(self, session: Session) -> None:
        if self.link is not None:
            self.link.gone()
            self.link = None

    async def _say(self, session: Session, message: to_device.ToDevice) -> None:
        if self.link is None or self.link.is_closed:
            return
        try:
            await session.received(message)
        except LinkClosed:
            self.link.gone()

    def _hear(self, message: Message) -> None:
        self.when_heard(message)
        with self._changed:
            self.heard.append(message)
            self._changed.notify_all()
        assert self._todo is not None
        self._todo.put_nowait(message)

    async def _serve(self, session: Session, todo: "asyncio.Queue[Message]", link: ScriptedLink) -> None:
        while True:
            for reply in self._replies(await todo.get()):
                if not link.is_closed:
                    await self._say(session, reply)
            with self._changed:
                self._changed.notify_all()

    def _replies(self, message: Message) -> list[to_device.ToDevice]:
        match message:
            case to_relay.Challenge():
                return self._challenge(message)
            case to_relay.Report():
                return self._report(message)
            case to_relay.State():
                self.look_at(message.receipt, "state", message.json)
                self.states.append(msgspec.json.decode(message.json))
            case to_relay.Recording():
                return self._recording(message)
            case to_relay.Piece():
                return self._piece(message)
        return []

    def _challenge(self, asked: to_relay.Challenge) -> list[to_device.ToDevice]:
        if not self.answers:
            return [] if self.online else [to_device.Offline()]
        command = self.commands.get(asked.command_id or "")
        if command is not None and asked.ack_receipt is not None:
            self.look_at(asked.ack_receipt, "delivered", None)
            command.acks += 1
            if command.status == "pending":
                command.status = "delivered"
        self.answered.append(self.answer_to(asked))
        return [to_device.SignedAnswer(self.answered[-1])]

    def _report(self, told: to_relay.Report) -> list[to_device.ToDevice]:
        body = msgspec.json.decode(told.json)
        self.look_at(told.receipt, body["status"], told.json)
        command = self.commands[told.command_id]
        if self.carries:
            command.reports.append(body)
            if command.status not in _ENDED:
                command.status, command.result = body["status"], body.get("result")
                command.error = (body.get("error") or {}).get("code")
        return [to_device.Taken(what=0x83, id=told.command_id)] if self.confirms_taken else []

    def _recording(self, told: to_relay.Recording) -> list[to_device.ToDevice]:
        self.look_at(told.create_receipt, "recorded", told.create)
        recording = self.recordings.setdefault(told.recording_id, AirRecording(msgspec.json.decode(told.create)))
        recording.sha256, recording.size = told.sha256, told.size
        if told.complete is None:
            return []
        self.look_at(told.complete_receipt, "recorded", told.complete)
        recording.complete = msgspec.json.decode(told.complete)
        return self._fetch(told.recording_id) if self.fetches and self.carries and not recording.is_in else []

    def _piece(self, piece: to_relay.Piece) -> list[to_device.ToDevice]:
        recording = self.recordings[piece.recording_id]
        if piece.offset == len(recording.data):
            recording.data += piece.data
        if not self.fetches:
            return []
        if not recording.is_in:
            return self._fetch(piece.recording_id)
        return [to_device.Taken(what=0x85, id=piece.recording_id), to_device.Next()]

    def _fetch(self, recording_id: str) -> list[to_device.ToDevice]:
        held = len(self.recordings[recording_id].data)
        return [to_device.Fetch(recording_id=recording_id, offset=held, length=4096)]
