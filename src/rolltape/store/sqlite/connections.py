"""How operations reach the file: writes through the one writer, reads beside it."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from rolltape.store.connections import Hear, Op
from rolltape.store.database import drive
from rolltape.store.operations import commands, expiry, offers, reports
from rolltape.store.outlook import Outlook
from rolltape.store.sqlite.database import connect
from rolltape.store.sqlite.writer import Writer

P = ParamSpec("P")
T = TypeVar("T")

BRIEF: frozenset[Callable[..., Any]] = frozenset((commands.create, reports.acknowledge, reports.report, offers.offer))
"""What is done for each command: a few look-ups and writes by index, which the event loop has the time for."""


class SqliteConnections:
    """One connection for writing, one for short reads on the event loop, one for long reads beside it."""

    def __init__(self, folder: Path, on_ended: Hear, on_moved: Hear, on_created: Hear) -> None:
        self.writer = Writer(folder, on_ended, on_moved, on_created, BRIEF)
        self.reader = connect(folder)
        self._beside = connect(folder)
        self._beside_lock = threading.Lock()
        self.outlook = Outlook()

    async def write(self, op: Op[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One operation in a transaction of the writer; its answer once that is durable."""
        return await self.writer.run(op, *args, **kwargs)

    async def read(self, op: Op[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One short read, at once: index look-ups and pages."""
        return drive(op(self.reader, *args, **kwargs))

    async def read_beside(self, op: Op[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One read that may take long, in a thread: the event loop goes on."""

        def locked() -> T:
            with self._beside_lock:
                return drive(op(self._beside, *args, **kwargs))

        return await asyncio.to_thread(locked)

    async def settle(self, now: int) -> None:
        """Expires all that is due, so that what is read next shows nothing open past its time.

        Writes settle in their own transaction too, for what falls due meanwhile; what is settled here stays, also
        where the write is then refused.
        """
        while not self.outlook.is_clear(now):
            due = drive(expiry.next_due(self.reader))
            if due is None or due > now:
                self.outlook.looked(now, due)
            elif not await self.write(expiry.expire_batch, now):
                return  # it can't be, and isn't asked for ever: whoever comes next looks again

    async def close(self) -> None:
        """Finishes waiting writes and closes the connections."""
        await self.writer.close()
        self.reader.conn.close()
        self._beside.conn.close()
