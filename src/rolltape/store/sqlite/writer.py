"""The single writer: one thread, one connection, and many callers in one commit.

Operations are functions `async def op(db, *args)`, and here they never really wait. Whatever is queued when the thread
comes round goes into one transaction, and each caller hears of its own only after the commit: that is what makes full
durability cheap. An operation that is refused
raises before it has written. Should any raise after a write, or in any other way, the whole batch is rolled back and
each operation runs again alone, so that one bad operation can neither spoil nor half-do another.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import apsw

from rolltape.codes import Code, Problem
from rolltape.store.connections import Hear, Op, nobody
from rolltape.store.database import drive
from rolltape.store.sqlite.database import SqliteDb, connect, transaction

P = ParamSpec("P")
T = TypeVar("T")

MAX_BATCH = 512
MAX_WAITING = 20_000
RETRY_SECONDS = 1

log = logging.getLogger("rolltape.store")


class _Job(NamedTuple):
    op: Callable[..., Coroutine[Any, Any, Any]]
    args: tuple[Any, ...]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


_Outcome = tuple[_Job, Any, BaseException | None]


class _Spoilt(Exception):
    """An operation of the batch raised after it had written, or in a way that no operation should."""


class Writer:
    """Owns the only connection that writes in this process."""

    def __init__(self, folder: Path, on_ended: Hear = nobody, on_moved: Hear = nobody) -> None:
        """Who hears, on the caller's loop and before any caller's answer, of each device whose binding ended, and of
        each of whose commands one has moved."""
        self._db = connect(folder)
        self._hear = (on_ended, on_moved)
        self._waiting: deque[_Job] = deque()
        self._bell = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="rolltape-writer", daemon=True)
        self._thread.start()

    async def run(self, op: Op[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The operation's answer, once it is committed. Raises what the operation raised.

        Raises Problem (`unavailable`) when too many wait, or the disk refuses: then nothing was done.
        """
        assert not kwargs, "operations that are written take their arguments by position"
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._bell:
            if self._closing or len(self._waiting) >= MAX_WAITING:
                raise _unavailable("too many writes are waiting")
            self._waiting.append(_Job(op, args, loop, future))
            self._bell.notify()
        # A caller that goes away cancels its future, never its write: that may be committed already.
        return await future

    def close(self) -> None:
        """Finishes what waits, then ends the thread and the connection."""
        with self._bell:
            self._closing = True
            self._bell.notify()
        self._thread.join()
        self._db.conn.close()

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                outcomes = self._commit_together(batch)
            except (_Spoilt, apsw.Error):
                _news(self._db)  # of what was rolled back there is none
                outcomes = [self._commit_alone(job) for job in batch]
            _deliver(outcomes, _news(self._db), self._hear)

    def _next_batch(self) -> list[_Job]:
        with self._bell:
            while not self._waiting and not self._closing:
                self._bell.wait()
            waiting = self._waiting
            return [waiting.popleft() for _ in range(min(len(waiting), MAX_BATCH))]

    def _commit_together(self, batch: list[_Job]) -> list[_Outcome]:
        with transaction(self._db) as db:
            return [_attempt(db, job) for job in batch]

    def _commit_alone(self, job: _Job) -> _Outcome:
        try:
            with transaction(self._db) as db:
                return job, drive(job.op(db, *job.args)), None
        except Problem as problem:
            return job, None, problem
        except apsw.Error as error:
            log.error("the database refused a write: %s", error)
            return job, None, _unavailable("the database refused the write")
        except Exception as error:
            return job, None, error


def _attempt(db: SqliteDb, job: _Job) -> _Outcome:
    before = db.conn.total_changes()
    try:
        return job, drive(job.op(db, *job.args)), None
    except Problem as problem:
        if db.conn.total_changes() == before:
            return job, None, problem
        raise _Spoilt from problem
    except apsw.Error:
        raise
    except Exception as error:
        raise _Spoilt from error


def _unavailable(why: str) -> Problem:
    return Problem(
        Code.UNAVAILABLE,
        f"The server can't write at the moment: {why}. Nothing was done; try again.",
        details={"retry_after": RETRY_SECONDS},
    )


def _news(db: SqliteDb) -> tuple[list[str], list[str]]:
    """The devices of which there is something to hear since the last time: whose binding ended, whose command moved."""
    news = list(dict.fromkeys(db.ended)), list(dict.fromkeys(db.moved))
    db.ended, db.moved = [], []
    return news


def _deliver(outcomes: list[_Outcome], news: tuple[list[str], list[str]], hear: tuple[Hear, Hear]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome[0].loop, []).append(outcome)
    for loop, mine in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, mine, news, hear)
        except RuntimeError:
            log.debug("a caller's event loop was closed before its answer came")


def _settle(outcomes: list[_Outcome], news: tuple[list[str], list[str]], hear: tuple[Hear, Hear]) -> None:
    for devices, listener in zip(news, hear, strict=True):
        for device_id in devices:
            listener(device_id)
    for job, answer, error in outcomes:
        if job.future.done():
            continue
        if error is None:
            job.future.set_result(answer)
        else:
            job.future.set_exception(error)
