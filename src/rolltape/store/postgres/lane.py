"""Many callers in one round trip: whatever is asked while a round is under way goes into the next one together."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, NamedTuple, TypeVar

from rolltape.codes import Code, Problem
from rolltape.store.postgres.trouble import RETRY_SECONDS

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_BATCH = 512
MAX_WAITING = 20_000
ENOUGH = 8
"""So many that wait are worth a round: more needn't come along."""


class Job(NamedTuple):
    """What one caller asked for, and where its answer goes."""

    kind: str
    facts: tuple[Any, ...]
    future: "asyncio.Future[Any]"

    def answer(self, value: Any) -> None:
        """A caller that went away has cancelled its future, never its write."""
        if not self.future.done():
            self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """The same, for what went wrong."""
        if not self.future.done():
            self.future.set_exception(error)


Choose = Callable[["deque[Job]"], list[Job]]


def first(waiting: "deque[Job]") -> list[Job]:
    """Those that have waited longest."""
    return [waiting.popleft() for _ in range(min(len(waiting), MAX_BATCH))]


class Lane:
    """One round at a time. `work` answers each of its jobs; what it raises they all hear.

    With a `pace`, in seconds, a round for which a few wait already begins so long after the one before it, or as soon
    as enough wait, so that more come along. Who comes while there is no round never waits: neither does a lone caller.
    """

    def __init__(self, work: Callable[[list[Job]], Awaitable[None]], choose: Choose = first, pace: float = 0.0) -> None:
        self._work = work
        self._choose = choose
        self._pace = pace
        self._waiting: deque[Job] = deque()
        self._running: asyncio.Task[None] | None = None
        self._pause: asyncio.Future[None] | None = None

    async def ask(self, kind: str, *facts: Any) -> Any:
        """The answer. Raises Problem: unavailable, where too many wait; and what the work raised."""
        if len(self._waiting) >= MAX_WAITING:
            raise Problem(
                Code.UNAVAILABLE,
                "Too many wait for the database. Nothing was done; try again.",
                details={"retry_after": RETRY_SECONDS},
            )
        loop = asyncio.get_running_loop()
        job = Job(kind, facts, loop.create_future())
        self._waiting.append(job)
        if self._running is None:
            self._running = loop.create_task(self._run())
        elif self._pause is not None and len(self._waiting) >= ENOUGH:
            _over(self._pause)
        return await job.future

    async def _run(self) -> None:
        now = asyncio.get_running_loop().time
        try:
            while self._waiting:
                next_at = now() + self._pace
                jobs = self._choose(self._waiting)
                try:
                    await self._work(jobs)
                except Exception as error:
                    for job in jobs:
                        job.fail(error)
                if 0 < len(self._waiting) < ENOUGH and (rest := next_at - now()) > 0:
                    await self._wait_for_more(rest)
        finally:
            self._running = None

    async def _wait_for_more(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._pause = loop.create_future()
        timer = loop.call_later(seconds, _over, self._pause)
        try:
            await self._pause
        finally:
            timer.cancel()
            self._pause = None

    async def drain(self) -> None:
        """Comes back once nothing is under way."""
        while self._running is not None:
            await asyncio.wait({self._running})


def _over(pause: "asyncio.Future[None]") -> None:
    if not pause.done():
        pause.set_result(None)


class Looks(Generic[K, V]):
    """Look-ups by key, as many as wait in one query. `find` answers what is there, by key."""

    def __init__(self, find: Callable[[list[K]], Awaitable[dict[K, V]]], pace: float = 0.0) -> None:
        self._find = find
        self._lane = Lane(self._look, pace=pace)

    async def get(self, key: K) -> V | None:
        """What is there; None where nothing is."""
        found: V | None = await self._lane.ask("look", key)
        return found

    async def _look(self, jobs: list[Job]) -> None:
        found = await self._find(list({job.facts[0] for job in jobs}))
        for job in jobs:
            job.answer(found.get(job.facts[0]))
