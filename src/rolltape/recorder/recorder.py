"""A recorder, put together: it opens its state folder, recovers, and runs its loops until it is told to end."""

import asyncio
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from rolltape.clock import Clock
from rolltape.durable import remove, sync_folder, write_whole
from rolltape.recorder.air.session import Session
from rolltape.recorder.channel import Channel
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.control import Buttons, ControlSocket
from rolltape.recorder.device_api import DeviceApi
from rolltape.recorder.device_key import receipts_in
from rolltape.recorder.identity import Identity, KeyRing
from rolltape.recorder.intake import Intake
from rolltape.recorder.journal import Journal
from rolltape.recorder.log import log
from rolltape.recorder.loops import loops_of
from rolltape.recorder.parts import Bells, Parts, is_reset_done
from rolltape.recorder.probes import Probes, SystemProbes
from rolltape.recorder.refresh import refresh_token
from rolltape.recorder.replay_file import ReplayFile
from rolltape.recorder.source import Microphone, microphone
from rolltape.recorder.studio import Studio
from rolltape.recorder.tapes import Tapes
from rolltape.recorder.transport import Line, NoLine
from rolltape.recorder.trusted_clock import TrustedClock
from rolltape.running import end_all, keep_up, only_one

_WIPING = "wiping"


class Recorder:
    """One recorder. `run` does everything; `parts` and `buttons` are there while it runs.

    So is `air`, the device's half of what it says with relays, for one that is told its binding.
    """

    def __init__(
        self,
        settings: RecorderSettings,
        clock: Clock,
        *,
        probes: Probes | None = None,
        source: Microphone | None = None,
        random: Random | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._probes = probes
        self._random = random or secrets.SystemRandom()
        self._source = source if source is not None else microphone(settings.source, clock)
        self.parts: Parts | None = None
        self.buttons: Buttons | None = None
        self.air: Session | None = None

    async def run(self, stop: asyncio.Event, started: Callable[[], None] = lambda: None) -> None:
        """Until `stop` is set, or a factory reset is through. Raises FolderBusy. `started` is called when it is up."""
        folder = self._settings.state_dir
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with only_one(folder, f"another recorder runs on {folder}: end it, or use another --state"):
            if (folder / _WIPING).exists():
                wipe(folder)
            parts = self._open(folder)
            try:
                await self._live(parts, stop, started)
            finally:
                parts.journal.close()
                self.parts = self.buttons = self.air = None
            if parts.reset.is_set():
                wipe(folder)
                log("factory reset: everything is wiped; bind the device again and start with the new token")

    def _open(self, folder: Path) -> Parts:
        settings, clock = self._settings, self._clock
        identity = Identity(folder / "identity", settings.any_token, settings.binding)
        replay = ReplayFile(folder / "replay", has_past=identity.has_past or (folder / "journal").exists())
        tapes = Tapes(folder / "recordings")
        trusted = TrustedClock(clock, folder / "clock")
        probes = self._probes or SystemProbes(folder)
        bells = Bells.hang(clock)
        studio = Studio(
            settings=settings,
            clock=clock,
            trusted=trusted,
            identity=identity,
            replay=replay,
            tapes=tapes,
            probes=probes,
            microphone=self._source,
            changed=lambda: _recording_changed(bells),
        )
        self._line = Line(settings, identity, clock) if settings.server is not None else NoLine()
        channel = Channel(clock, settings.http_timeout_sec)
        self.parts = Parts(
            settings=settings,
            clock=clock,
            identity=identity,
            keys=KeyRing(identity, *settings.shared_secret),
            replay=replay,
            journal=Journal(folder / "journal"),
            tapes=tapes,
            trusted=trusted,
            probes=probes,
            api=DeviceApi(settings, self._line, channel),
            studio=studio,
            bells=bells,
            channel=channel,
            random=self._random,
        )
        self.buttons = Buttons(self.parts)
        return self.parts

    async def _live(self, parts: Parts, stop: asyncio.Event, started: Callable[[], None]) -> None:
        intake = Intake(parts)
        self.air = self._behind_relays(parts, intake)
        loops = loops_of(parts, intake, self.air)
        self._resume(parts)
        control = ControlSocket(self._settings.state_dir, Buttons(parts))
        await control.open()
        tasks = [asyncio.create_task(keep_up(type(loop).__name__, loop.run, self._clock, log)) for loop in loops]
        if self._settings.refresh_token and self._settings.server is not None:
            tasks.append(asyncio.create_task(keep_up("refresh", lambda: refresh_token(parts), self._clock, log)))
        started()
        try:
            await _first_of(stop, parts.reset)
            await parts.studio.stop_if()
        finally:
            await control.close()
            await end_all(tasks)
            await self._line.close()

    def _behind_relays(self, parts: Parts, intake: Intake) -> Session | None:
        """Its half of every conversation with a relay; None where it has no business with any."""
        binding = self._settings.binding
        if binding is None:
            return None
        floor_ms = parts.trusted.floor_ms
        receipts = receipts_in(self._settings.state_dir, parts.identity, binding.public_key, floor_ms)
        return Session(parts, intake, receipts)

    def _resume(self, parts: Parts) -> None:
        parts.own_replay_record()
        if self._settings.server is not None and not self._settings.is_trusted:
            log("this server is neither on this machine nor behind TLS: its time and keys don't count, so no start")
        if parts.identity.known.ended:
            parts.ended.set()
        if any(is_reset_done(entry) and entry.told for entry in parts.journal.all()):
            parts.reset.set()


def wipe(folder: Path) -> None:
    """Make the state folder empty: the token first, the sound last. Safe to cut off: the next start goes on with it."""
    write_whole(folder / _WIPING, b"")
    for name in ("identity", "journal", "replay", "clock"):
        remove(folder / name)
        remove(folder / f"{name}.new")
    shutil.rmtree(folder / "recordings", ignore_errors=True)
    sync_folder(folder)
    remove(folder / _WIPING)


def _recording_changed(bells: Bells) -> None:
    for bell in (bells.beat, bells.register, bells.upload, bells.air):
        bell.ring()


async def _first_of(*events: asyncio.Event) -> None:
    waiters = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
