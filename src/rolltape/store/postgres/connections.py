"""How operations reach PostgreSQL: a pool, a transaction for each write, and what is due looked at now and then."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

import asyncpg

from rolltape.store.connections import Hear
from rolltape.store.operations import expiry
from rolltape.store.outlook import Outlook
from rolltape.store.postgres.database import AS_IT_LIKES, CONNECTING, PgDb
from rolltape.store.postgres.trouble import AGAIN, GONE, is_gone, log, may_go_better, unavailable

P = ParamSpec("P")
T = TypeVar("T")
PgOp = Callable[Concatenate[PgDb, P], Coroutine[Any, Any, T]]

TRIES = 5
READ_TRIES = 3
WAIT_SECONDS = 20.0
"""How long a call waits for a connection."""
CLOSE_SECONDS = 10.0
AWAY_SECONDS = 0.2
"""How long a database that couldn't be reached isn't asked for another connection: thousands of calls that each try one
would keep a database that starts up from doing so."""
SMALLEST_POOL = 2
PLANS_SECONDS = 2.0
"""How long a connection keeps its plans. One that was made on an empty table goes by any index, and the rows may not be
counted for a minute or more; to make all plans anew takes a few milliseconds."""
MOST_KNOWN = 1000


async def _nothing_to_reset(conn: Any) -> None:
    """Operations leave nothing behind in a session, and asyncpg's own reset is a round trip."""


class PgConnections:
    """A pool of connections to the database at `url`."""

    def __init__(self, pool: "asyncpg.Pool[Any]", on_ended: Hear, on_moved: Hear) -> None:
        self.pool = pool
        self._hear = (on_ended, on_moved)
        self.outlook = Outlook()
        self._plans_good_until: dict[int, float] = {}
        self._looking = asyncio.Lock()
        self._away: BaseException | None = None
        self._away_until = self._away_since = 0.0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PgDb]:
        """One connection of the pool. Where it turns out to be broken, nobody gets it again.

        Raises Problem (`unavailable`).
        """
        conn = await self._acquire()
        try:
            await self._plan_anew(conn)
            yield PgDb(conn)
        except GONE as error:
            if is_gone(error):
                _cut(conn)
            raise
        finally:
            await self._give_back(conn)

    async def _acquire(self) -> Any:
        timer = asyncio.get_running_loop().time
        if self._away is not None and timer() < self._away_until and self.pool.get_idle_size() == 0:
            raise unavailable(self._away)
        try:
            conn = await self.pool.acquire(timeout=WAIT_SECONDS)
        except (*GONE, asyncpg.PostgresError) as error:
            if self._away is None:
                self._away_since = timer()
            self._away, self._away_until = error.with_traceback(None), timer() + AWAY_SECONDS
            raise unavailable(error) from None
        if self._away is not None:
            self._away = None
            log.info("the database can be reached again, after %.1f s", timer() - self._away_since)
        return conn

    async def _give_back(self, conn: Any) -> None:
        """Raises nothing: what was committed is committed, whatever becomes of the connection."""
        try:
            await self.pool.release(conn)
        except (*GONE, asyncpg.PostgresError) as error:  # the pool has thrown it away
            log.warning("a connection to the database broke: %s: %s", type(error).__name__, error)

    async def _plan_anew(self, conn: Any) -> None:
        """Forgets the plans that were made when the tables may have been much smaller."""
        pid, now = conn.get_server_pid(), asyncio.get_running_loop().time()
        if now < self._plans_good_until.get(pid, 0.0):
            return
        if len(self._plans_good_until) >= MOST_KNOWN:
            self._plans_good_until.clear()
        self._plans_good_until[pid] = now + PLANS_SECONDS
        with suppress(*GONE):  # if it is broken, who is about to use it finds that too, and knows what to do
            await conn.execute("DISCARD PLANS")

    async def write(self, op: PgOp[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One operation in a transaction of its own; its answer once that is durable.

        Where somebody else was in the way, or a connection broke before the commit, it is tried again.
        """
        for last in (*(False,) * (TRIES - 1), True):
            async with self.connection() as db:
                try:
                    answer = await self.commit(db, lambda: op(db, *args, **kwargs))
                except (*AGAIN, *GONE) as error:
                    if not may_go_better(error):
                        raise
                    if last:
                        raise unavailable(error) from None
                except asyncpg.PostgresError as error:
                    raise unavailable(error) from error
                else:
                    self.tell(db)
                    return answer
        raise AssertionError

    async def commit(self, db: PgDb, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer of `work` on that connection, in a transaction."""
        transaction = db.conn.transaction()
        await transaction.start()
        try:
            answer = await work()
        except BaseException as error:
            if is_gone(error):
                _cut(db.conn)
            else:
                await _roll_back(db, transaction)
            raise
        try:
            await transaction.commit()
        except GONE as error:
            _cut(db.conn)
            raise unavailable(error, unknown=True) from None
        return answer

    def tell(self, db: PgDb) -> None:
        """What was committed is heard of."""
        for devices, hear in zip((db.ended, db.moved), self._hear, strict=True):
            for device_id in dict.fromkeys(devices):
                hear(device_id)

    async def read(self, op: PgOp[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One read; again where the connection turns out to be broken."""
        for last in (*(False,) * (READ_TRIES - 1), True):
            async with self.connection() as db:
                try:
                    return await op(db, *args, **kwargs)
                except GONE as error:
                    if not is_gone(error):
                        raise
                    _cut(db.conn)
                    if last:
                        raise unavailable(error) from None
                    log.warning("a connection to the database broke: %s: %s", type(error).__name__, error)
                except asyncpg.PostgresError as error:
                    raise unavailable(error) from error
        raise AssertionError

    async def read_beside(self, op: PgOp[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One read of many rows, planned as PostgreSQL likes."""

        async def at_length(db: PgDb) -> T:
            async with db.transaction():
                await db.conn.execute(AS_IT_LIKES)
                return await op(db, *args, **kwargs)

        return await self.read(at_length)

    async def settle(self, now: int, *, sure: bool = False) -> None:
        """Expires all that is due. Most of the time that is known without a look, unless it must be sure."""
        if self.outlook.is_clear(now) and not sure:
            return
        async with self._looking:
            if sure or not self.outlook.is_clear(now):
                await self._settle(now)

    async def _settle(self, now: int) -> None:
        before = None
        while (due := await self.read(expiry.next_due)) is not None and due <= now:
            if not await self.write(expiry.expire_batch, now) and due == before:
                return  # it can't be, and isn't asked for ever: whoever comes next looks again
            before = due
        self.outlook.looked(now, due)

    async def close(self) -> None:
        """Waits for what is under way, and closes the connections; those of a database that is silent are cut."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()


async def _roll_back(db: PgDb, transaction: Any) -> None:
    try:
        await transaction.rollback()
    except (*GONE, asyncpg.PostgresError):
        _cut(db.conn)  # which rolls back, too


def _cut(conn: Any) -> None:
    """Ends a connection without a word, so that nobody gets it again."""
    with suppress(asyncpg.InterfaceError):  # the pool has noticed before, and taken it back
        conn.terminate()


async def open_pool(url: str, size: int) -> "asyncpg.Pool[Any]":
    """A pool of at most `size` connections. Raises OSError, asyncpg.PostgresError, ValueError."""
    return await asyncpg.create_pool(
        url, min_size=min(SMALLEST_POOL, size), max_size=size, reset=_nothing_to_reset, **CONNECTING
    )
