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
from rolltape.store.postgres.trouble import AGAIN, GONE, log, may_go_better, unavailable

P = ParamSpec("P")
T = TypeVar("T")
PgOp = Callable[Concatenate[PgDb, P], Coroutine[Any, Any, T]]

TRIES = 5
WAIT_SECONDS = 20.0
"""How long a call waits for a connection."""
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

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PgDb]:
        """One connection of the pool. Raises Problem (`unavailable`)."""
        try:
            conn = await self.pool.acquire(timeout=WAIT_SECONDS)
        except GONE as error:
            raise unavailable(error) from None
        try:
            await self._plan_anew(conn)
            yield PgDb(conn)
        except asyncpg.InternalClientError:
            conn.terminate()  # it has lost its place in the conversation: nobody shall wait for it again
            raise
        finally:
            await self.pool.release(conn)

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
            if not isinstance(error, GONE):
                with suppress(*GONE):
                    await transaction.rollback()
            raise
        try:
            await transaction.commit()
        except GONE as error:
            raise unavailable(error, unknown=True) from None
        return answer

    def tell(self, db: PgDb) -> None:
        """What was committed is heard of."""
        for devices, hear in zip((db.ended, db.moved), self._hear, strict=True):
            for device_id in dict.fromkeys(devices):
                hear(device_id)

    async def read(self, op: PgOp[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One read; once more where the connection turns out to be broken."""
        for last in (False, True):
            async with self.connection() as db:
                try:
                    return await op(db, *args, **kwargs)
                except GONE as error:
                    if last:
                        raise unavailable(error) from None
                    log.warning("a connection to the database broke: %s", error)
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
        while True:
            due = await self.read(expiry.next_due)
            if due is None or due > now:
                break
            await self.write(expiry.expire_batch, now)
        self.outlook.looked(now, due)

    async def close(self) -> None:
        """Waits for what is under way, and closes the connections."""
        await self.pool.close()


async def open_pool(url: str, size: int) -> "asyncpg.Pool[Any]":
    """A pool of at most `size` connections. Raises OSError, asyncpg.PostgresError, ValueError."""
    return await asyncpg.create_pool(
        url, min_size=min(SMALLEST_POOL, size), max_size=size, reset=_nothing_to_reset, **CONNECTING
    )
