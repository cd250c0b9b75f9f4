"""All live channels of this process: one a device, found by the device's id when something wakes it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final

from rolltape.delivery.channel import Channel, Line
from rolltape.domain.principal import DevicePrincipal
from rolltape.service.context import Services
from rolltape.service.wakeups import EVERYTHING
from rolltape.wire.channel import Close

log = logging.getLogger("rolltape.channel")
OPENED: Final = "opened:"
"""Begins the topic that tells the other nodes of a device whose channel was opened here."""


class Channels:
    """The registry. `frames` counts what devices sent, by type."""

    def __init__(self, app: Services) -> None:
        self.app = app
        self.draining = False
        self.frames: Counter[str] = Counter()
        self._all: set[Channel] = set()
        self._by_device: dict[str, Channel] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        app.wakeups.listen(self._woken)

    def __len__(self) -> int:
        """How many are open, those that have not said hello yet among them."""
        return len(self._all)

    def open(self, who: DevicePrincipal, token_hash: bytes, line: Line) -> Channel:
        """A channel that has yet to say hello."""
        now = self.app.clock.monotonic()
        channel = Channel(self, who, token_hash, line, now)
        self._all.add(channel)
        return channel

    def greeted(self, channel: Channel) -> None:
        """It has said hello: it is its device's channel from now on, and closes the one before."""
        older = self._by_device.get(channel.who.device_id)
        self._by_device[channel.who.device_id] = channel
        self.app.wakeups.tell_others(OPENED + channel.who.device_id)
        if older is not None:
            self._replace(older)

    def _replace(self, older: Channel) -> None:
        self.spawn(older.end(Close.REPLACED, "a newer channel of this device was opened"))

    def left(self, channel: Channel) -> None:
        """Its line is gone."""
        channel.closed = True
        self._all.discard(channel)
        if self._by_device.get(channel.who.device_id) is channel:
            del self._by_device[channel.who.device_id]

    def sweep(self) -> int:
        """Looks after each; how many there were."""
        now = self.app.clock.monotonic()
        for channel in tuple(self._all):
            channel.sweep(now)
        return len(self._all)

    def drain(self) -> None:
        """Closes all, and lets none be opened from now on."""
        self.draining = True
        for channel in tuple(self._all):
            self.spawn(channel.leave(Close.RESTART, "the server ends"))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Does it soon. A failure is logged and ends nothing else."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a channel's work failed", exc_info=error)

    def _woken(self, topic: str) -> None:
        if topic == EVERYTHING:
            for each in tuple(self._by_device.values()):
                each.woken()
            return
        channel = self._by_device.get(topic.removeprefix(OPENED))
        if channel is not None and topic.startswith(OPENED):
            self._replace(channel)
        elif channel is not None:
            channel.woken()
