"""A gateway, put together: it opens its spool and runs its loops until it is told to end."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from rolltape.clock import Clock
from rolltape.relay.carry import Carrier
from rolltape.relay.central import Central
from rolltape.relay.config import RelaySettings
from rolltape.relay.grants import Grants
from rolltape.relay.line import Line
from rolltape.relay.log import log
from rolltape.relay.parts import Bells, Network, Parts, Refused
from rolltape.relay.poll import Poll, Register
from rolltape.relay.radio import Radio
from rolltape.relay.server import RelayServer
from rolltape.relay.shelf import Progress, Shelf
from rolltape.relay.spool import Spool
from rolltape.relay.token import Token, TokenEnded
from rolltape.relay.upload import Upload

_RESTART_SEC = 5.0


class FolderBusy(Exception):
    """Another gateway runs on this spool."""


class Gateway:
    """One gateway. `run` does everything; `parts` and `central` are there while it runs."""

    def __init__(
        self,
        settings: RelaySettings,
        clock: Clock,
        radio: Radio,
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._settings, self._clock, self._radio = settings, clock, radio
        self._progress = progress or Percent()
        self.parts: Parts | None = None
        self.central: Central | None = None

    async def run(self, stop: asyncio.Event, started: Callable[[], None] = lambda: None) -> None:
        """Until `stop` is set. Raises FolderBusy, NoRadio at the start, and TokenEnded where no new token can come."""
        folder = self._settings.spool_dir
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _only_one(folder):
            token = Token(self._settings)
            line = Line(self._settings, token, self._clock)
            try:
                await self._live(self._open(folder, token, line), stop, started)
            finally:
                self.parts = self.central = None
                await line.close()

    def _open(self, folder: Path, token: Token, line: Line) -> Parts:
        spool = Spool(folder / "words")
        shelf = Shelf(folder / "audio", self._settings.spool_mb << 20)
        if len(spool) or shelf.whole():
            log(f"the spool holds {len(spool)} words and {len(shelf.whole())} whole recordings")
        self.parts = Parts(
            settings=self._settings,
            clock=self._clock,
            token=token,
            server=RelayServer(line),
            spool=spool,
            shelf=shelf,
            grants=Grants(self._clock),
            network=Network(),
            refused=Refused(self._clock),
            bells=Bells.hang(self._clock),
            progress=self._progress,
        )
        return self.parts

    async def _live(self, parts: Parts, stop: asyncio.Event, started: Callable[[], None]) -> None:
        carrier = Carrier(parts)
        self.central = central = Central(parts, carrier, self._radio)
        parts.told, parts.network.back = central.nudge, central.network_is_back
        parts.grants.came, parts.grants.revoked = central.grants_came, central.revoked
        register = Register(parts, central.devices_changed)
        loops = (register, Poll(parts), carrier, Upload(parts), central)
        tasks = [asyncio.create_task(self._keep_up(type(loop).__name__, loop.run)) for loop in loops]
        started()
        try:
            await self._until(stop, parts, central)
        finally:
            await _end(tasks)

    async def _until(self, stop: asyncio.Event, parts: Parts, central: Central) -> None:
        events = [stop] if parts.token.can_change else [stop, parts.token_ended]
        waiters = [asyncio.create_task(event.wait()) for event in events]
        try:
            ends: list[asyncio.Future[Any]] = [*waiters, central.no_radio]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()
        if central.no_radio.done():
            raise central.no_radio.result()
        if not stop.is_set():
            raise TokenEnded("the relay token has ended: mint a new one, POST /v1/relay-tokens; the spool is kept")

    async def _keep_up(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """A loop that falls over is a fault; the gateway says so and goes on."""
        while True:
            try:
                return await run()
            except Exception as error:
                log(f"fault in {name}: {type(error).__name__}: {error}")
                await self._clock.sleep(_RESTART_SEC)


class Percent:
    """Says how far a recording is fetched, each tenth of it."""

    def __init__(self) -> None:
        self._tenths: dict[str, int] = {}

    def __call__(self, at: Progress) -> None:
        tenth = at.held * 10 // at.size
        if self._tenths.get(at.recording_id) == tenth:
            return
        self._tenths[at.recording_id] = tenth
        if tenth == 10:
            del self._tenths[at.recording_id]
        log(f"{at.recording_id}: {at.held} of {at.size} bytes over the air")


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: a library may swallow one cancellation."""
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=0.5)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FolderBusy(f"another gateway runs on {folder}: end it, or use another --spool") from None
        yield
    finally:
        os.close(fd)
