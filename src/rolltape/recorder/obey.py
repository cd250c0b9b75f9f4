"""A command's way through the device: check, ask for the go, check again, mark the grant used, act, note the result.

One command at a time: a reset first, then stops, then by `seq`. Where the server can't be reached, nothing is done on
its own connection; the question is put again until the grant's time is over.
"""

from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

from rolltape.codes import Failure
from rolltape.recorder.check import check
from rolltape.recorder.goes import Goes
from rolltape.recorder.intake import ABOUT_THE_COMMAND
from rolltape.recorder.journal import Entry
from rolltape.recorder.log import log
from rolltape.recorder.parts import Parts, failed
from rolltape.recorder.studio import CannotDo, StartOrder
from rolltape.recorder.tapes import Tape
from rolltape.recorder.transport import TokenEnded, Unreachable
from rolltape.wire.claims import Claims, GrantRefused
from rolltape.wire.command import DEFAULT_MAX_DURATION_SEC, Report
from rolltape.wire.times import iso

_OPEN = frozenset({"pending", "delivered"})
_FIRST = {"factory_reset": 0, "stop_recording": 1}


class _StartParams(Struct, frozen=True):
    max_duration_sec: int = DEFAULT_MAX_DURATION_SEC
    upload_immediately: bool = True


class Obey:
    """The loop that acts on commands."""

    def __init__(self, parts: Parts, goes: Goes) -> None:
        self._parts = parts
        self._goes = goes
        self._goes_heard: dict[str, bool] = {}
        self._asking: str | None = None
        self._acts: dict[str, Callable[[Claims], Awaitable[Report]]] = {
            "start_recording": self._start,
            "stop_recording": self._stop,
            "trigger_upload": self._trigger_upload,
            "factory_reset": self._factory_reset,
        }

    @property
    def awaiting_go(self) -> list[str]:
        """The commands for which a go could not be had so far: a heartbeat may ask too."""
        return [self._asking] if self._asking is not None else []

    def heard_go(self, command_id: str, go: bool, status: str | None) -> None:
        """A heartbeat answer said go, or no go.

        It is asked once more where that may mean that the server could not say at the moment (no go, no status), and
        where anybody could have said go.
        """
        is_word = self._parts.settings.is_trusted if go else status is not None
        if is_word and command_id == self._asking:
            self._goes_heard[command_id] = go
            self._parts.bells.obey.ring()

    def revoked(self, command_id: str, status: str | None) -> None:
        """The server says that an offer stands no more: a command that is over there is dropped, unless it has begun.

        One that was acknowledged on another route is not over: this device did that.
        """
        entry = self._parts.journal.get(command_id)
        if status in _OPEN:
            return
        if entry is not None and entry.is_open and not self._has_begun(entry):
            log(f"{command_id}: revoked")
            self._give_up(entry)
            if self._asking == command_id:
                self._asking = None

    def _has_begun(self, entry: Entry) -> bool:
        return self._parts.replay.lost or self._parts.replay.record.used(entry.seq)

    def recover(self) -> None:
        """After power-up: what was marked used, but has no result, ends with what is found; it is never tried again."""
        for entry in self._parts.journal.open_entries():
            if self._has_begun(entry):
                self._parts.finish(entry.id, self._found(entry))

    async def run(self) -> None:
        """For ever."""
        backoff = self._parts.backoff()
        while True:
            entry = self._next()
            if entry is None:
                await self._parts.bells.obey.wait()
                continue
            try:
                await self._one(entry)
                backoff.succeeded()
            except Unreachable as trouble:
                log(f"{entry.id}: no go yet: {trouble}")
                self._asking = entry.id
                await self._pause(entry, backoff.next(), trouble.retry_after)
            except TokenEnded:
                await self._parts.end_token()

    async def _pause(self, entry: Entry, seconds: float, retry_after: float | None) -> None:
        """A server that wants time gets it: but no stop waits behind that, and no relay that has just come."""
        if retry_after is None:
            await self._parts.bells.obey.wait(seconds)
            return
        until = self._parts.clock.monotonic() + retry_after
        while self._next() is entry and (left := until - self._parts.clock.monotonic()) > 0:
            await self._parts.bells.obey.wait(left)
            if self._goes.is_relay_here:
                return

    def _next(self) -> Entry | None:
        if not (self._goes.can_be_asked or self._parts.ended.is_set()):
            return None
        entries = self._parts.journal.open_entries()
        return min(entries, key=lambda e: (_FIRST.get(e.type, 2), e.seq), default=None)

    async def _one(self, entry: Entry) -> None:
        if self._parts.ended.is_set() or self._parts.is_resetting:
            self._parts.journal.drop(entry.id)  # the binding is over, and with it every command that had no go
            return
        try:
            check(self._parts, entry.grant, time_may_come=entry.came_by_air)
            if not await self._has_go(entry):
                self._no_go(entry)
                return
            if not entry.is_open:
                return  # revoked while the go was on its way
            claims = check(self._parts, entry.grant)  # the answer may have taken its time
        except GrantRefused as refused:
            self._refuse(entry, refused)
            return
        self._parts.replay.mark(claims.seq)
        self._parts.finish(entry.id, await self._act(claims))
        self._parts.bells.beat.ring()
        self._parts.bells.upload.ring()

    def _no_go(self, entry: Entry) -> None:
        log(f"{entry.id}: no go")
        self._give_up(entry)

    def _give_up(self, entry: Entry) -> None:
        """It is over, by the server's word: nothing of the same number is obeyed again.

        A relay may hold a grant of it too, whichever way this one came, and show that when there is no network. To obey
        a stop late does no harm.
        """
        self._parts.journal.drop(entry.id)
        if entry.came_by_air or (entry.type != "stop_recording" and self._parts.settings.is_trusted):
            self._parts.replay.mark(entry.seq)

    def _refuse(self, entry: Entry, refused: GrantRefused) -> None:
        if entry.came_by_air and refused.failure not in ABOUT_THE_COMMAND:
            log(f"{entry.id}: dropped, {refused.message}")
            self._parts.journal.drop(entry.id)
        else:
            self._parts.finish(entry.id, failed(refused.failure, refused.message))

    async def _has_go(self, entry: Entry) -> bool:
        known = self._goes_heard.pop(entry.id, None)
        self._asking = None
        return known if known is not None else await self._goes.ask(entry)

    async def _act(self, claims: Claims) -> Report:
        try:
            return await self._acts[claims.type](claims)
        except CannotDo as cannot:
            return failed(cannot.failure, cannot.message)
        except (OSError, msgspec.MsgspecError, KeyError, RuntimeError) as error:
            log(f"{claims.jti}: {type(error).__name__}: {error}")
            return failed(Failure.INTERNAL, f"the recorder could not do it: {type(error).__name__}")

    async def _start(self, claims: Claims) -> Report:
        params = msgspec.convert(claims.params, _StartParams)
        order = StartOrder(
            max_seconds=min(max(params.max_duration_sec, 1), 86_400),
            upload_immediately=params.upload_immediately,
            command_id=claims.jti,
            seq=claims.seq,
        )
        return self._started(await self._parts.studio.start(order))

    async def _stop(self, claims: Claims) -> Report:
        return self._stopped(await self._parts.studio.stop(claims.jti))

    async def _trigger_upload(self, claims: Claims) -> Report:
        waiting = self._parts.tapes.waiting()
        for tape in waiting:
            self._parts.tapes.change(tape.id, due=True)
        return self._parts.executed({"pending_recordings": len(waiting)})

    async def _factory_reset(self, claims: Claims) -> Report:
        await self._parts.studio.stop_if()
        return self._parts.executed({})

    def _started(self, tape: Tape) -> Report:
        return self._parts.executed({"recording_id": tape.id, "started_at": iso(tape.started_ms)})

    def _stopped(self, tape: Tape) -> Report:
        ended_ms = tape.started_ms + tape.duration_ms if tape.ended_ms is None else tape.ended_ms
        return self._parts.executed(
            {"recording_id": tape.id, "ended_at": iso(ended_ms), "duration_ms": tape.duration_ms}
        )

    def _found(self, entry: Entry) -> Report:
        """The best evidence of what a command did before the power went."""
        began, stopped = self._parts.tapes.started_by(entry.id), self._parts.tapes.stopped_by(entry.id)
        if entry.type == "start_recording" and began is not None:
            return self._started(began)
        if entry.type == "stop_recording" and stopped is not None:
            return self._stopped(stopped)
        if entry.type == "factory_reset":
            return self._parts.executed({})
        return failed(Failure.INTERRUPTED, "the power went while it was being done; it is not tried again")
