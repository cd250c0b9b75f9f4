"""What a relay is told: how the device is, how commands ended, which recordings there are; each until it is proved.

Something new is told at once; NEXT asks for all that no signed answer has confirmed. What the relay says that it holds
isn't repeated on this connection, and asked about instead.
"""

from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from rolltape.recorder.air.nonces import Nonces
from rolltape.recorder.ble.link import Link, LinkClosed
from rolltape.recorder.device_api import report_body
from rolltape.recorder.device_key import Receipts
from rolltape.recorder.journal import Entry
from rolltape.recorder.log import log
from rolltape.recorder.parts import Parts
from rolltape.recorder.state import state_of
from rolltape.recorder.tapes import Tape, completion_of, creation_of
from rolltape.wire.ble import to_device, to_relay

T = TypeVar("T")
MOST_REPORTS, MOST_RECORDINGS = 16, 8
"""So much is told in one go: a relay that carries it asks for more."""
_STATE = "state"
_NEWS = ("device_state", "recording", "pending_recordings", "replay_state_lost")


@dataclass(slots=True)
class Told:
    """What was said on one connection, and what of it the relay says that it holds. `nexts`: to be answered.
    `turns`: how often all was gone through again, so that everything has its turn.

    is_offline: the relay has said so since it last asked for more; then proofs aren't asked for, but a go always is.
    Before the first NEXT nothing is told: the relay isn't ready for it.
    """

    link: Link
    is_offline: bool = False
    said: set[str] = field(default_factory=set)
    turns: int = 0
    taken: set[str] = field(default_factory=set)
    state: list[object] | None = None
    nexts: int = 0
    is_ready: bool = False


class Tell:
    """The loop that tells. `now` is the connection of a relay that has said hello."""

    def __init__(self, parts: Parts, nonces: Nonces, receipts: Receipts) -> None:
        self._parts = parts
        self._nonces = nonces
        self._receipts = receipts
        self.now: Told | None = None

    @property
    def is_any(self) -> bool:
        """Whether there is anything that no signed answer has confirmed."""
        return bool(self._parts.journal.untold() or self._parts.tapes.waiting())

    def taken(self, message: to_device.Taken) -> None:
        """The relay says that it holds something. It may lie: the next connection hears it again."""
        is_ours = message.id is None or self._parts.journal.get(message.id) or self._parts.tapes.get(message.id)
        if self.now is not None and is_ours:
            self.now.taken.add(message.id or _STATE)

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._parts.bells.air.wait()
            told = self.now
            if told is None:
                continue
            try:
                while told.nexts:
                    told.is_ready = True
                    await self._all(told, again=True)
                    told.nexts -= 1
                    await told.link.send(to_relay.Result(about=to_device.Next.type, code=0))
                if told.is_ready:
                    await self._all(told, again=False)
            except LinkClosed:
                continue

    async def ask(self, told: Told, *, command_id: str | None = None, recording_id: str | None = None) -> None:
        """Ask the server what it has, where the relay can reach it."""
        if not told.is_offline:
            nonce = self._nonces.ask(command_id=command_id, recording_id=recording_id)
            await told.link.send(to_relay.Challenge(nonce=nonce, command_id=command_id, recording_id=recording_id))

    async def _all(self, told: Told, *, again: bool) -> None:
        await self._state(told, again=again)
        present = self._parts.identity.known.generation
        untold = sorted(self._parts.journal.untold(), key=lambda entry: entry.gen not in (0, present))
        for entry in _in_turn(told, untold, [entry.id for entry in untold], MOST_REPORTS, again=again):
            await self._report(told, entry)
        tapes = [tape for tape in self._parts.tapes.all() if self._is_news(tape)]
        tapes.sort(key=lambda tape: not self._is_whole(tape))
        for tape in _in_turn(told, tapes, [self._key(tape) for tape in tapes], MOST_RECORDINGS, again=again):
            await self._recording(told, tape)
        told.turns += again

    async def _state(self, told: Told, *, again: bool) -> None:
        state = state_of(self._parts)
        news = [state.get(name) for name in _NEWS]
        if news == told.state and not (again and _STATE not in told.taken):
            return
        told.state = news
        told.taken.discard(_STATE)
        body = msgspec.json.encode(state)
        await told.link.send(to_relay.State(json=body, receipt=self._receipts.of("state", body)))

    async def _report(self, told: Told, entry: Entry) -> None:
        if entry.report is None:
            return
        was_said = entry.id in told.said
        if entry.id not in told.taken:
            told.said.add(entry.id)
            body = msgspec.json.encode(report_body(entry.report))
            receipt = self._receipts.of(entry.report.status, body, command_id=entry.id, generation=entry.gen)
            await told.link.send(to_relay.Report(command_id=entry.id, json=body, receipt=receipt))
        if was_said:
            await self.ask(told, command_id=entry.id)

    def _is_news(self, tape: Tape) -> bool:
        return not tape.uploaded and not self._parts.studio.is_beginning(tape.id)

    def _is_whole(self, tape: Tape) -> bool:
        """Whether it may be fetched: it has ended, and so have the commands that are reported by it."""
        return tape.due and not tape.is_running and self._parts.is_told_of(tape)

    def _key(self, tape: Tape) -> str:
        """A recording is news when it has begun, and once more when it may be fetched."""
        return f"{tape.id} {self._is_whole(tape)}"

    async def _recording(self, told: Told, tape: Tape) -> None:
        was_said = self._key(tape) in told.said
        if tape.id not in told.taken or not was_said:
            message = await self._announcement(tape)
            if message is None:
                return
            told.said.add(self._key(tape))
            await told.link.send(message)
        if was_said and self._is_whole(tape):
            await self.ask(told, recording_id=tape.id)

    async def _announcement(self, tape: Tape) -> to_relay.Recording | None:
        """The recording as it is told; None when its sound is gone. One that is held back has no end yet."""
        sound = self._parts.tapes.sound(tape.id)
        try:
            if self._is_whole(tape):
                tape = await self._parts.tapes.hashed(tape.id)
            size = sound.stat().st_size
        except (OSError, KeyError):
            log(f"{tape.id}: its sound is gone from this disk")
            return None
        create = msgspec.json.encode(creation_of(tape))
        is_done = self._is_whole(tape) and tape.sha256 is not None
        complete = msgspec.json.encode(completion_of(tape, size)) if is_done else None
        return to_relay.Recording(
            recording_id=tape.id,
            create=create,
            create_receipt=self._sign(tape, create),
            complete=complete,
            complete_receipt=None if complete is None else self._sign(tape, complete),
            size=size,
            sha256=bytes.fromhex(tape.sha256) if is_done and tape.sha256 else None,
        )

    def _sign(self, tape: Tape, body: bytes) -> bytes | None:
        return self._receipts.of("recorded", body, recording_id=tape.id, generation=tape.generation)


def _in_turn(told: Told, items: list[T], keys: list[str], most: int, *, again: bool) -> list[T]:
    """At most so many of `items`: first what is new to this relay, then (`again`) others than the last time.

    What no relay can have confirmed, or what is held back, must not stand in the way of the rest.
    """
    new = [item for item, key in zip(items, keys, strict=True) if key not in told.said]
    old = [item for item, key in zip(items, keys, strict=True) if key in told.said] if again else []
    begin = told.turns * most % len(old) if old else 0
    return [*new, *old[begin:], *old[:begin]][:most]
