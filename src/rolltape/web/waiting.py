"""Answers that are held back: long polls, and creates that wait for the device.

A held answer ends when its work is done, when the client goes away, when a newer poll of the same device needs its
place, or when the server drains.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from rolltape.web.call import Call, ClientGone, Receive

T = TypeVar("T")
LAST_LOOK_SECONDS = 1.0
"""What is being looked up when the server drains is still answered: an offer that was noted as made must go out."""
POLLS_PER_DEVICE = 2
"""A device has at most this many polls open; a further one releases the oldest. Two, so that one that the network lost
without a word doesn't stand in the way of its successor."""


class Holds:
    """All answers that are held back at present."""

    def __init__(self) -> None:
        self._open: set[asyncio.Event] = set()
        self._polls: dict[str, list[asyncio.Event]] = {}
        self.draining = False

    def __len__(self) -> int:
        return len(self._open)

    def drain(self) -> None:
        """Releases all of them, and holds none back from now on."""
        self.draining = True
        for release in self._open:
            release.set()

    async def hold(self, call: Call[Any, Any], work: Coroutine[Any, Any, T]) -> T | None:
        """The result of `work`; when the server drains first, what `work` has by then, or None: then it is cancelled.

        `ClientGone` when the client goes away first.
        """
        return await self._hold(call, work, asyncio.Event())

    async def hold_poll(self, call: Call[Any, Any], device_id: str, work: Coroutine[Any, Any, T]) -> T | None:
        """The same for a poll of a device: None also when newer polls of that device take its place."""
        release = asyncio.Event()
        polls = self._polls.setdefault(device_id, [])
        while len(polls) >= POLLS_PER_DEVICE:
            polls.pop(0).set()
        polls.append(release)
        try:
            return await self._hold(call, work, release)
        finally:
            if release in polls:
                polls.remove(release)
            if not polls and self._polls.get(device_id) is polls:
                del self._polls[device_id]

    async def _hold(self, call: Call[Any, Any], work: Coroutine[Any, Any, T], release: asyncio.Event) -> T | None:
        if self.draining:
            work.close()
            return None
        self._open.add(release)
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_gone(call.receive))
        released = asyncio.ensure_future(release.wait())
        try:
            await asyncio.wait((task, gone, released), return_when=asyncio.FIRST_COMPLETED)
            await self._last_look(task, gone)
            if task.done():
                return task.result()
            if gone.done():
                raise ClientGone
            return None
        finally:
            self._open.discard(release)
            await _end(task, gone, released)

    async def _last_look(self, task: "asyncio.Future[Any]", gone: "asyncio.Future[Any]") -> None:
        """In a drain the work sees by itself that it is to end; it gets a moment for that."""
        if self.draining and not (task.done() or gone.done()):
            await asyncio.wait((task, gone), timeout=LAST_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)


async def _gone(receive: Receive) -> None:
    """Comes back when the client is gone. What is left of the request's body is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: "asyncio.Future[Any]") -> None:
    for task in tasks:
        if not task.done():
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
