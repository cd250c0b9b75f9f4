"""One simulated recorder: what it keeps in flash, what it forgets when the power goes, and how it obeys.

The same as the reference recorder, without sound and without tasks: everything is a call that comes back at once, and
`now` (monotonic seconds) is when it is made. The grant's check is the real one, `rolltape.wire.grant`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from rolltape.codes import Failure
from rolltape.simulate.book import DRIFT, Word
from rolltape.simulate.dice import Dice
from rolltape.simulate.heard import BeatHeard, OfferHeard
from rolltape.simulate.world import World
from rolltape.wire.claims import Claims, GrantRefused
from rolltape.wire.command import DEFAULT_MAX_DURATION_SEC, ReportError, ReportItem
from rolltape.wire.grant import authenticate, judge
from rolltape.wire.ids import new_id
from rolltape.wire.keys import Verifier, verifiers_from_jwks
from rolltape.wire.replay import ReplayRecord
from rolltape.wire.times import iso, parse

_FIRST: Final = {"factory_reset": 0, "stop_recording": 1}
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Bound:
    """What a device has from bind, and who it is."""

    id: str
    token: str
    iss: str
    generation: int
    project_id: str
    keys: Mapping[str, Verifier]


@dataclass(slots=True)
class Tape:
    """A recording. `until`: when its longest time is over (monotonic)."""

    id: str
    seq: int
    started_by: str
    started_ms: int
    until: float
    ended_ms: int | None = None
    stopped_by: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A command that was taken: the note of it in the journal."""

    id: str
    seq: int
    type: str
    grant: str


class CannotDo(Exception):
    """The device can't obey; `failure` is what it reports."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class Device:
    """`number` is its place in the fleet."""

    __slots__ = (
        "_ahead",
        "_at_work",
        "_behind",
        "_drift",
        "_ended",
        "_floor",
        "_heard_at",
        "_heard_time",
        "_journal",
        "_skew_ms",
        "_tape",
        "dice",
        "facts",
        "keys",
        "life",
        "number",
        "replay",
        "untold",
        "world",
    )

    def __init__(self, world: World, number: int, facts: Bound, dice: Dice) -> None:
        self.world = world
        self.number = number
        self.facts = facts
        self.dice = dice
        # Flash: it survives a power cut.
        self.keys = facts.keys
        self.replay = ReplayRecord()
        self._journal: dict[str, Held] = {}
        self._ended: dict[str, ReportItem] = {}
        self.untold: dict[str, ReportItem] = {}
        self._tape: Tape | None = None
        self._floor = 0
        # RAM. `life` counts its power-ups.
        self.life = 0
        self._behind = -inf
        self._ahead = -inf
        self._heard_time = False
        self._heard_at = 0.0
        self._at_work: tuple[Held, float, ReportItem] | None = None
        # Its quartz, and the clock that somebody set by hand.
        self._drift = dice.between(-DRIFT, DRIFT)
        self._skew_ms = int(dice.between(-_DAY_MS, _DAY_MS)) if dice.happens(0.1) else 0

    # What it hears

    def heard(self, answer: BeatHeard, sent: float, now: float) -> None:
        """The answer to a heartbeat or a hello, in the protocol's order. When the power goes, the rest is unheard."""
        life = self.life
        self._hear_time(parse(answer.server_time), sent, now)
        if answer.grant_keys is not None:
            self.keys = {**self.keys, **verifiers_from_jwks(answer.grant_keys)}
        for ack in answer.acks:
            if ack.id is not None:
                self.heard_go(ack.id, ack.go, now)
        for result in answer.results:
            if result.id is not None and result.is_told:
                self.told(result.id)
        for offer in answer.commands if self.life == life else ():
            self.offered(offer, now)

    def offered(self, offer: OfferHeard, now: float) -> None:
        """A command, perhaps for the second time."""
        self.world.figures["offers"] += 1
        if offer.id in self._ended:
            self.untold[offer.id] = self._ended[offer.id]
        elif offer.id not in self._journal:
            try:
                claims = self.check(offer.grant_token, now)
            except GrantRefused as refused:
                self._finish(offer.id, "", refused.failure, None, now)
            else:
                self._journal[claims.jti] = Held(claims.jti, claims.seq, claims.type, offer.grant_token)

    def heard_go(self, command_id: str, go: bool, now: float) -> None:
        """The server's go or no-go for a command: the device acts, or drops it."""
        held = self._journal.get(command_id)
        if held is None or self._at_work is not None or self.replay.used(held.seq):
            return
        if not go:
            del self._journal[command_id]
            self.world.book.dropped(held.id, self.number, held.type)
            return
        try:
            claims = self.check(held.grant, now)  # the answer may have taken its time
        except GrantRefused as refused:
            self._finish(held.id, held.type, refused.failure, None, now)
            return
        self._obey(held, claims, now)

    def revoked(self, command_id: str, status: str | None) -> None:
        """An offer stands no more: what has not begun is dropped, unless it was this device that acknowledged it."""
        held = self._journal.get(command_id)
        if held is not None and status not in ("pending", "delivered") and not self.replay.used(held.seq):
            del self._journal[command_id]

    def told(self, command_id: str) -> None:
        """The server has the report."""
        if self.untold.pop(command_id, None) is not None:
            self.world.book.told(command_id)

    # What it would say

    def question(self) -> str | None:
        """The command for which it asks the go next; None while it acts on another, or has yet to hear the server."""
        if self._at_work is not None or not self._heard_time or not self._journal:
            return None
        return min(self._journal.values(), key=lambda held: (_FIRST.get(held.type, 2), held.seq)).id

    @property
    def has_heard(self) -> bool:
        """Whether the server was heard since power-up."""
        return self._heard_time

    @property
    def in_hand(self) -> list[str]:
        """Commands that it holds unfinished."""
        return list(self._journal)

    def state(self, now: float) -> dict[str, Any]:
        """What a heartbeat says of it; after power-up also which keys it holds."""
        tape = self.running(now)
        said: dict[str, Any] = {
            "battery_percent": 20 + self.number % 80,
            "device_state": "idle" if tape is None else "recording",
            "recording": None
            if tape is None
            else {"recording_id": tape.id, "started_at": iso(tape.started_ms), "initiated_by": "remote"},
        }
        if not self._heard_time:
            said["connection_type"] = ["wifi"]
            said["grant_kids"] = list(self.keys)
        return said

    # Time, and the lack of power

    def tick(self, now: float) -> float:
        """Ends what its time has come for; when to look again (monotonic)."""
        if self._at_work is None:
            return inf
        held, until, report = self._at_work
        if now < until:
            return until
        self._at_work = None
        self._note(held, report)
        return now

    def power_cut(self, now: float) -> None:
        """What isn't in flash is gone; what was marked without a result ends with what is found."""
        self.world.figures["power_cuts"] += 1
        self.life += 1
        self._behind = self._ahead = -inf
        self._heard_time = False
        self._at_work = None
        if self._tape is not None and self._tape.ended_ms is None:
            self._tape.ended_ms = self._label_ms(now)
        for held in [one for one in self._journal.values() if self.replay.used(one.seq)]:
            self._recover(held, now)

    def trusted_ms(self, now: float) -> int | None:
        """Trusted time; None from power-up until the server was heard."""
        if not self._heard_time:
            return None
        return int(self._timer_ms(now) + max(self._behind, self._ahead))

    def running(self, now: float) -> Tape | None:
        """The recording that runs. One whose longest time is over has ended then."""
        tape = self._tape
        if tape is None or tape.ended_ms is not None:
            return None
        if now >= tape.until:
            tape.ended_ms = self._label_ms(now)
            return None
        return tape

    def _hear_time(self, server_ms: int, sent: float, now: float) -> None:
        """As docs/grants.md has it: counted from the sending, so that it only runs ahead."""
        self.world.book.true_time.hear(server_ms, sent, now)
        self._floor = max(self._floor, server_ms)
        self._behind = max(self._behind, self._floor - self._timer_ms(now))
        if server_ms >= self._floor:
            self._ahead = server_ms - self._timer_ms(sent)
        self._heard_time, self._heard_at = True, now

    def _timer_ms(self, now: float) -> float:
        return now * (1 + self._drift) * 1000

    def _label_ms(self, now: float) -> int:
        """What it writes on things: its own clock, which may be off by a day; it never decides anything."""
        trusted = self.trusted_ms(now)
        return max(0, self.world.book.true_time.at(now) + self._skew_ms if trusted is None else trusted)

    # How it obeys

    def check(self, grant: str, now: float) -> Claims:
        """The claims of a grant that may be obeyed now. Raises GrantRefused."""
        facts = self.facts
        claims = authenticate(grant, self.keys, iss=facts.iss, aud=facts.id, gen=facts.generation)
        if claims.type == "stop_recording":
            self.replay = self.replay.saw_stop(claims.seq)
        tape = self.running(now)
        judge(
            claims,
            now_ms=self.trusted_ms(now),
            replay=self.replay,
            recording_since_seq=None if tape is None else tape.seq,
        )
        if claims.type not in _ACTS:
            raise GrantRefused(Failure.UNSUPPORTED_TYPE, "no such command here")
        return claims

    def mark(self, seq: int) -> None:
        """The grant is used, from now on and for ever."""
        self.replay = self.replay.mark(seq)

    def _obey(self, held: Held, claims: Claims, now: float) -> None:
        luck, dice = self.world.luck, self.dice
        self.mark(claims.seq)
        if dice.happens(luck.crash / 2):
            self.power_cut(now)
            return
        try:
            result = self.act(claims, now)
        except CannotDo as cannot:
            self._finish(held.id, held.type, cannot.failure, None, now)
            return
        if dice.happens(luck.crash / 2):
            self.power_cut(now)
            return
        report = self._report(held.id, None, result, now)
        if dice.happens(luck.slow):
            self._at_work = (held, now + dice.between(0.05, self.world.slowest), report)
        else:
            self._note(held, report)

    def act(self, claims: Claims, now: float) -> dict[str, Any]:
        """Does it: this is where the book is written. Raises CannotDo, and then nothing was done."""
        return _ACTS[claims.type](self, claims, now)

    def did(self, claims: Claims, now: float) -> None:
        """It is being done, this very moment."""
        book = self.world.book
        book.act(claims.jti, self.number, claims.type, claims.exp * 1000, now, self._heard_at)

    def _start(self, claims: Claims, now: float) -> dict[str, Any]:
        if self.running(now) is not None:
            raise CannotDo(Failure.ALREADY_RECORDING)
        label = self._label_ms(now)
        longest = float(claims.params.get("max_duration_sec", DEFAULT_MAX_DURATION_SEC))
        self._tape = Tape(new_id("rec", label), claims.seq, claims.jti, label, now + longest)
        self.did(claims, now)
        return _started(self._tape)

    def _stop(self, claims: Claims, now: float) -> dict[str, Any]:
        tape = self.running(now)
        if tape is None:
            raise CannotDo(Failure.NOT_RECORDING)
        tape.ended_ms, tape.stopped_by = max(self._label_ms(now), tape.started_ms), claims.jti
        self.did(claims, now)
        return _stopped(tape)

    def _upload(self, claims: Claims, now: float) -> dict[str, Any]:
        self.did(claims, now)
        return {"pending_recordings": 0}

    def _recover(self, held: Held, now: float) -> None:
        """The best evidence of what it did before the power went; it is never tried again."""
        tape = self._tape
        if tape is not None and held.id == tape.started_by:
            self._note(held, self._report(held.id, None, _started(tape), now))
        elif tape is not None and held.id == tape.stopped_by:
            self._note(held, self._report(held.id, None, _stopped(tape), now))
        else:
            self._finish(held.id, held.type, Failure.INTERRUPTED, None, now)

    def _finish(self, command_id: str, type_: str, failure: Failure, result: dict[str, Any] | None, now: float) -> None:
        self._note(Held(command_id, 0, type_, ""), self._report(command_id, failure, result, now))

    def _report(
        self, command_id: str, failure: Failure | None, result: dict[str, Any] | None, now: float
    ) -> ReportItem:
        error = None if failure is None else ReportError(code=failure.value)
        status: Any = "executed" if failure is None else "failed"
        return ReportItem(
            id=command_id, status=status, executed_at=iso(self._label_ms(now)), result=result, error=error
        )

    def _note(self, held: Held, report: ReportItem) -> None:
        """Notes the result in flash: from here on it is told until the server has it."""
        self._journal.pop(held.id, None)
        self._ended[held.id] = self.untold[held.id] = report
        code = None if report.error is None else report.error.code
        self.world.book.word(held.id, self.number, held.type, Word(report.status, code, report.result))


def _started(tape: Tape) -> dict[str, Any]:
    return {"recording_id": tape.id, "started_at": iso(tape.started_ms)}


def _stopped(tape: Tape) -> dict[str, Any]:
    ended = tape.started_ms if tape.ended_ms is None else tape.ended_ms
    return {"recording_id": tape.id, "ended_at": iso(ended), "duration_ms": max(0, ended - tape.started_ms)}


_ACTS: Final[dict[str, Callable[[Device, Claims, float], dict[str, Any]]]] = {
    "start_recording": Device._start,
    "stop_recording": Device._stop,
    "trigger_upload": Device._upload,
}
"""factory_reset isn't among them: a fleet that wipes itself is of no use."""
