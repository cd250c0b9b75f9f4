"""The parts of a recorder that its loops share, and the bells that the loops ring for each other."""

import asyncio
import secrets
from dataclasses import dataclass, field
from random import Random

from rolltape.backoff import Backoff, Wake
from rolltape.clock import Clock
from rolltape.recorder.channel import Channel
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.device_api import DeviceApi
from rolltape.recorder.identity import Identity, KeyRing
from rolltape.recorder.journal import Entry, Journal
from rolltape.recorder.log import log
from rolltape.recorder.probes import Probes
from rolltape.recorder.replay_file import ReplayFile
from rolltape.recorder.studio import Studio
from rolltape.recorder.tapes import Tape, Tapes
from rolltape.recorder.trusted_clock import TrustedClock
from rolltape.wire.command import Report, ReportError
from rolltape.wire.times import iso


@dataclass(slots=True)
class Bells:
    """One for each loop: rung when there is something for it to do."""

    obey: Wake
    report: Wake
    beat: Wake
    register: Wake
    upload: Wake
    air: Wake

    @staticmethod
    def hang(clock: Clock) -> "Bells":
        """New ones."""
        return Bells(*(Wake(clock) for _ in range(6)))

    def ring_all(self) -> None:
        """The server is there again: whoever waits should try."""
        for bell in (self.obey, self.report, self.register, self.upload):
            bell.ring()


@dataclass(slots=True)
class Parts:
    """Everything that a loop may need. All of it belongs to one event loop.

    heard: the server has answered a heartbeat since power-up. ended: the token's binding is over. reset: a
    `factory_reset` has been reported, and all state has to go.
    """

    settings: RecorderSettings
    clock: Clock
    identity: Identity
    keys: KeyRing
    replay: ReplayFile
    journal: Journal
    tapes: Tapes
    trusted: TrustedClock
    probes: Probes
    api: DeviceApi
    studio: Studio
    bells: Bells
    channel: Channel
    random: Random = field(default_factory=secrets.SystemRandom)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    reset: asyncio.Event = field(default_factory=asyncio.Event)

    def backoff(self) -> Backoff:
        """A new one, with the settings' waits."""
        return Backoff(self.settings.backoff_first_sec, self.settings.backoff_most_sec, self.random)

    def finish(self, entry_id: str, report: Report) -> None:
        """A command has ended: durably, then told."""
        self.journal.end(entry_id, report)
        detail = report.error.code if report.error else ""
        log(f"{entry_id}: {report.status} {detail}".rstrip())
        self.bells.report.ring()
        self.bells.air.ring()

    def told(self, entry: Entry) -> None:
        """The server has the report."""
        self.journal.told(entry.id)
        if is_reset_done(entry):
            self.reset.set()

    @property
    def is_resetting(self) -> bool:
        """Whether a factory reset was carried out: nothing begins after it."""
        return any(is_reset_done(entry) for entry in self.journal.all())

    def own_replay_record(self) -> None:
        """Once it is known which device this is: a replay record of another counts as lost."""
        known = self.identity.known
        if known.device_id is None or known.replay_device == known.device_id:
            return
        if known.replay_device is not None:
            self.replay.lose()
            self.bells.beat.ring()
        self.identity.change(replay_device=known.device_id)

    def is_told_of(self, tape: Tape) -> bool:
        """Whether the results of the commands that began and ended it are noted: they are read off the tape."""
        in_hand = {entry.id for entry in self.journal.open_entries()}
        return not in_hand & {tape.command_id, tape.stop_id}

    async def end_token(self) -> None:
        """The server says that the binding is over: what a command began ends, the audio and the story stay."""
        if not self.ended.is_set():
            log("the server has ended this token: bind the device again and start with the new token")
            self.identity.change(ended=True)
            self.ended.set()
            self.channel.end()
            self.bells.obey.ring()
            await self.studio.stop_if(remote_only=True)

    def executed(self, result: dict[str, object]) -> Report:
        """A report that it was done, now."""
        return Report(status="executed", executed_at=iso(self.trusted.label_ms()), result=dict(result))


def failed(code: str, message: str) -> Report:
    """A report that it could not be done."""
    return Report(status="failed", error=ReportError(code=code, message=message[:1000]))


def is_reset_done(entry: Entry) -> bool:
    """Whether that was a factory reset that was carried out."""
    return entry.type == "factory_reset" and entry.report is not None and entry.report.status == "executed"
