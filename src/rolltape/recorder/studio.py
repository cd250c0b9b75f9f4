"""Whether a recording runs, and what may begin or end one: a command, a hand on the device, its longest time."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from rolltape.clock import Clock
from rolltape.codes import Failure
from rolltape.recorder.capture import Capture, Ended
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.identity import Identity
from rolltape.recorder.log import log
from rolltape.recorder.probes import Probes
from rolltape.recorder.replay_file import ReplayFile
from rolltape.recorder.source import OPEN_TIMEOUT_SEC, Microphone
from rolltape.recorder.tapes import Tape, Tapes
from rolltape.recorder.trusted_clock import TrustedClock
from rolltape.wire.heartbeat import RecordingNow
from rolltape.wire.ids import new_id
from rolltape.wire.times import iso

BEGIN_TIMEOUT_SEC = OPEN_TIMEOUT_SEC + 3
END_TIMEOUT_SEC = OPEN_TIMEOUT_SEC + 3


class CannotDo(Exception):
    """The device can't obey. `failure` is what it reports, `message` says it in words."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message


@dataclass(slots=True)
class Running:
    """The recording that runs. `since_seq` is the `seq` that a stop must be above to end it."""

    tape_id: str
    started_ms: int
    initiated_by: Literal["local", "remote"]
    since_seq: int
    ended: asyncio.Future[Tape]
    capture: Capture | None = None
    has_begun: bool = False


@dataclass(frozen=True, slots=True)
class StartOrder:
    """How to record. `command_id` and `seq` are None for a hand on the device."""

    max_seconds: float
    upload_immediately: bool = True
    command_id: str | None = None
    seq: int | None = None


class Studio:
    """At most one recording at a time. `changed` is called whenever one has begun or ended."""

    def __init__(
        self,
        *,
        settings: RecorderSettings,
        clock: Clock,
        trusted: TrustedClock,
        identity: Identity,
        replay: ReplayFile,
        tapes: Tapes,
        probes: Probes,
        microphone: Microphone,
        changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._trusted = trusted
        self._identity = identity
        self._replay = replay
        self._tapes = tapes
        self._probes = probes
        self._microphone = microphone
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self.running: Running | None = None

    @property
    def since_seq(self) -> int | None:
        """What a stop must be above to end the recording that runs; None when idle."""
        return self.running.since_seq if self.running else None

    @property
    def now(self) -> RecordingNow | None:
        """The recording that runs, for a heartbeat."""
        if self.running is None:
            return None
        return RecordingNow(
            recording_id=self.running.tape_id,
            started_at=iso(self.running.started_ms),
            initiated_by=self.running.initiated_by,
        )

    def is_beginning(self, tape_id: str) -> bool:
        """Whether that recording has no sound on the disk so far: it may come to nothing."""
        return self.running is not None and self.running.tape_id == tape_id and not self.running.has_begun

    async def start(self, order: StartOrder) -> Tape:
        """Begin; comes back when the first sound is on the disk. Raises CannotDo."""
        self._check_may_start()
        tape = self._new_tape(order)
        self._tapes.add(tape)
        begun: asyncio.Future[None] = self._loop.create_future()
        running = self._running(tape, order)
        for future in (begun, running.ended):
            future.add_done_callback(_look_at)
        self.running = running
        running.capture = Capture(
            self._microphone,
            self._tapes.sound(tape.id),
            self._clock,
            bit_rate=self._settings.bit_rate,
            max_seconds=order.max_seconds,
            begun=partial(self._from_thread, _settle, begun),
            ended=partial(self._from_thread, self._on_ended, running, begun),
        )
        running.capture.start()
        await self._until_begun(running, begun)
        running.has_begun = True
        self._changed()
        return tape

    async def stop(self, stop_id: str | None = None) -> Tape:
        """End the recording that runs; comes back with it when it is whole on the disk. Raises CannotDo."""
        running = self.running
        if running is None or running.capture is None:
            raise CannotDo(Failure.NOT_RECORDING, "nothing is being recorded")
        if stop_id is not None:
            self._tapes.change(running.tape_id, stop_id=stop_id)
        running.capture.stop()
        tape = await self._clock.wait(asyncio.shield(running.ended), END_TIMEOUT_SEC)
        if tape is None:
            raise CannotDo(Failure.INTERNAL, "the source did not let go; the recording ends when it does")
        return tape

    async def stop_if(self, *, remote_only: bool = False) -> None:
        """End the recording that runs, if there is one (that a command began)."""
        if self.running is not None and (self.running.initiated_by == "remote" or not remote_only):
            try:
                await self.stop()
            except CannotDo as error:
                log(f"stop: {error.message}")

    async def mute(self, on: bool) -> None:
        """The device's own switch: it ends what runs, and nothing begins until it is off again, also after a reboot."""
        self._identity.change(muted=on)
        if on:
            await self.stop_if()

    @property
    def is_muted(self) -> bool:
        return self._identity.known.muted

    @property
    def is_storage_full(self) -> bool:
        return self._probes.storage().free_mb < self._settings.min_free_mb

    @property
    def is_battery_low(self) -> bool:
        percent = self._probes.battery_percent()
        return percent is not None and percent < self._settings.min_battery_percent

    def _check_may_start(self) -> None:
        if self.running is not None:
            raise CannotDo(Failure.ALREADY_RECORDING, f"{self.running.tape_id} is being recorded")
        if self.is_muted:
            raise CannotDo(Failure.MUTED_LOCALLY, "the device's own mute switch is on")
        if self.is_storage_full:
            raise CannotDo(Failure.STORAGE_FULL, f"less than {self._settings.min_free_mb:g} MB are free")
        if self.is_battery_low:
            raise CannotDo(Failure.LOW_BATTERY, f"the battery is below {self._settings.min_battery_percent} %")

    def _new_tape(self, order: StartOrder) -> Tape:
        now = self._trusted.label_ms()
        return Tape(
            id=new_id("rec", now),
            started_ms=now,
            initiated_by="local" if order.command_id is None else "remote",
            command_id=order.command_id,
            generation=self._identity.known.generation,
            due=order.upload_immediately,
        )

    def _running(self, tape: Tape, order: StartOrder) -> Running:
        # A stop is obeyed when it is above the start; a recording begun by hand has none, so: above all that is known.
        since = self._replay.highest_known + 1 if order.seq is None else order.seq
        return Running(tape.id, tape.started_ms, tape.initiated_by, since, self._loop.create_future())

    async def _until_begun(self, running: Running, begun: asyncio.Future[None]) -> None:
        if await self._clock.wait(_true_when(asyncio.shield(begun)), BEGIN_TIMEOUT_SEC):
            return
        assert running.capture is not None
        running.capture.stop()
        raise CannotDo(Failure.MICROPHONE_UNAVAILABLE, "no sound came from the source")

    def _on_ended(self, running: Running, begun: asyncio.Future[None], ended: Ended) -> None:
        """In the event loop, once the capture's thread is done."""
        if self.running is running:
            self.running = None
        if not begun.done() and ended.duration_ms == 0:
            self._tapes.discard(running.tape_id)
            failure = ended.failure or Failure.MICROPHONE_UNAVAILABLE
            begun.set_exception(CannotDo(failure, ended.trouble or "it was stopped before the first sound"))
            running.ended.set_exception(CannotDo(Failure.NOT_RECORDING, "the recording never began"))
            return
        if ended.failure:
            log(f"recording {running.tape_id} ended early: {ended.trouble}")
        ended_ms = running.started_ms + ended.duration_ms
        ended_ms = max(ended_ms, self._trusted.label_ms())
        tape = self._tapes.change(running.tape_id, is_running=False, duration_ms=ended.duration_ms, ended_ms=ended_ms)
        _settle(begun)
        running.ended.set_result(tape)
        self._changed()

    def _from_thread(self, call: Callable[..., None], *args: Any) -> None:
        """Have `call` made in the event loop; a loop that is closed has no use for it any more."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *args)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _look_at(future: asyncio.Future[Any]) -> None:
    """Nobody may be waiting: an exception that is never looked at would be complained of."""
    if not future.cancelled():
        future.exception()


async def _true_when(future: asyncio.Future[None]) -> bool:
    await future
    return True
