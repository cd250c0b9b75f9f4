"""The single writer: one connection, one transaction at a time, and many callers in one commit.

Operations are functions `async def op(db, *args)`, and here they never really wait. Whatever is queued when a round
begins goes into one transaction, and each caller hears of its own only after the commit: that is what makes full
durability cheap. An operation that is refused raises before it has written. Should any raise after a write, or in any
other way, the whole round is rolled back and each operation runs again alone, so that one bad operation can neither
spoil nor half-do another.

The statements of brief operations run on the event loop, and only the commit, which waits for the disk, in a thread
beside it: meanwhile the loop reads, checks and signs for the next callers. An operation that may take long, and
whatever went wrong, has the thread for all of its transaction.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, ParamSpec, TypeVar

import apsw

from rolltape.codes import Code, Problem
from rolltape.store.connections import Hear, Op, nobody
from rolltape.store.database import drive
from rolltape.store.sqlite.checkpoints import Checkpoints
from rolltape.store.sqlite.database import SqliteDb, connect, transaction

P = ParamSpec("P")
T = TypeVar("T")

MAX_BATCH = 512
MAX_WAITING = 20_000
MOST_AT_ONCE = 64
"""The most brief operations in a round: so long the event loop has nothing else to do."""
RETRY_SECONDS = 1

log = logging.getLogger("rolltape.store")


class _Job(NamedTuple):
    op: Callable[..., Coroutine[Any, Any, Any]]
    args: tuple[Any, ...]
    brief: bool
    future: "asyncio.Future[Any]"


_Outcome = tuple[_Job, Any, BaseException | None]
_News = tuple[list[str], list[str], list[str]]
_Done = tuple[list[_Outcome], _News]


class _Spoilt(Exception):
    """An operation of the round raised after it had written, or in a way that no operation should."""


class Writer:
    """Owns the only connection that writes in this process. All its callers are on one event loop."""

    def __init__(
        self,
        folder: Path,
        on_ended: Hear = nobody,
        on_moved: Hear = nobody,
        on_created: Hear = nobody,
        brief: frozenset[Callable[..., Any]] = frozenset(),
    ) -> None:
        """Who hears, on the caller's loop and before any caller's answer, of each device whose binding ended, of each
        of whose commands one has moved, and of each that has a new one. `brief` are the operations that the loop has
        the time for."""
        self._db = connect(folder)
        self._checkpoints = Checkpoints(folder, self._db.conn)
        self._hear = (on_ended, on_moved, on_created)
        self._brief = brief
        self._waiting: deque[_Job] = deque()
        self._under_way = self._refuses = False
        self._closing = False
        self._idle = asyncio.Event()
        self._todo: SimpleQueue[tuple[asyncio.AbstractEventLoop, Callable[[], _Done]] | None] = SimpleQueue()
        self._thread = Thread(target=self._beside, name="rolltape-writer", daemon=True)
        self._thread.start()

    async def run(self, op: Op[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The operation's answer, once it is committed. Raises what the operation raised.

        Raises Problem (`unavailable`) when too many wait, or the disk refuses: then nothing was done.
        """
        assert not kwargs, "operations that are written take their arguments by position"
        if self._closing or len(self._waiting) >= MAX_WAITING:
            raise _unavailable("too many writes are waiting")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Job(op, args, op in self._brief, future))
        if not self._under_way:
            self._under_way = True
            self._idle.clear()
            loop.call_soon(self._round, loop)  # whoever else is ready at this moment comes along
        # A caller that goes away cancels its future, never its write: that may be committed already.
        return await future

    async def close(self) -> None:
        """Finishes what waits, then ends the thread and the connection."""
        self._closing = True
        if self._under_way:
            await self._idle.wait()
        self._todo.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._checkpoints.close)
        self._db.conn.close()

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begins the next transaction, if somebody waits for one; the thread ends it."""
        batch = self._next_batch()
        if not batch:
            self._under_way = False
            self._idle.set()
        else:
            outcomes = self._at_once(batch) if batch[0].brief else None
            self._todo.put((loop, partial(self._finish, batch, outcomes)))

    def _next_batch(self) -> list[_Job]:
        """Those that have waited longest, as far as they are all brief or all not."""
        waiting, batch = self._waiting, list[_Job]()
        while waiting and len(batch) < (MOST_AT_ONCE if waiting[0].brief else MAX_BATCH):
            if batch and batch[0].brief is not waiting[0].brief:
                break
            batch.append(waiting.popleft())
        return batch

    def _at_once(self, batch: list[_Job]) -> list[_Outcome] | None:
        """What became of each, in a transaction that is still open; None, and none is, where that can't be."""
        try:
            self._db.begin(wait_ms=0)  # another process may write: the loop doesn't wait for it
            return [_attempt(self._db, job) for job in batch]
        except (_Spoilt, apsw.Error):
            self._db.roll_back()
            return None

    def _beside(self) -> None:
        while (work := self._todo.get()) is not None:
            loop, finish = work
            done = finish()
            try:
                loop.call_soon_threadsafe(self._settle, loop, done)
            except RuntimeError:
                log.debug("the callers' event loop was closed before their answers came")
                self._under_way = False

    def _finish(self, batch: list[_Job], outcomes: list[_Outcome] | None) -> _Done:
        """In the thread: commits what is open, or does all of it."""
        try:
            if outcomes is None:
                outcomes = self._commit_together(batch)
            else:
                self._db.commit()
            if self._refuses:
                self._refuses = False
                log.info("the database takes writes again")
        except (_Spoilt, apsw.Error):
            _news(self._db)  # of what was rolled back there is none
            outcomes = [self._commit_alone(job) for job in batch]
        self._checkpoints.follow()
        return outcomes, _news(self._db)

    def _commit_together(self, batch: list[_Job]) -> list[_Outcome]:
        _news(self._db)
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
            self._refuses = True
            return job, None, _unavailable("the database refused the write")
        except Exception as error:
            return job, None, error

    def _settle(self, loop: asyncio.AbstractEventLoop, done: _Done) -> None:
        outcomes, news = done
        for devices, listener in zip(news, self._hear, strict=True):
            for device_id in devices:
                listener(device_id)
        self._round(loop)  # first: its commit goes on while those who have their answers are served
        for job, answer, error in outcomes:
            if job.future.done():
                continue
            if error is None:
                job.future.set_result(answer)
            else:
                job.future.set_exception(error)


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


def _news(db: SqliteDb) -> _News:
    """The devices of which there is something to hear since the last time: see Db."""
    news = list(dict.fromkeys(db.ended)), list(dict.fromkeys(db.moved)), db.created
    db.ended, db.moved, db.created = [], [], []
    return news
