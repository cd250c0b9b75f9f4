"""Wake-ups between nodes by LISTEN and NOTIFY: no further service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from rolltape.store.bus import CONNECT_SECONDS, Hear, Line, NodeBus
from rolltape.store.postgres.database import connect
from rolltape.store.postgres.trouble import GONE

MOST_BYTES: Final = 7_500
"""PostgreSQL takes less than 8,000 in one notification."""


class PgBus(NodeBus):
    """One connection that listens and speaks on `channel`."""

    def __init__(self, url: str, channel: str, key: bytes, hear: Hear) -> None:
        self._url = url
        self._channel = channel
        super().__init__(key, hear, MOST_BYTES)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Line]:
        """A connection that listens. Raises what asyncpg raises, TimeoutError, OSError."""
        async with asyncio.timeout(CONNECT_SECONDS):
            conn = await connect(self._url)
        try:
            await conn.add_listener(self._channel, lambda conn, pid, channel, letter: self.came(letter))
            conn.add_termination_listener(lambda _: self.look())
            yield _PgLine(conn, self._channel)
        finally:
            with suppress(*GONE):
                await conn.close(timeout=1)


class _PgLine:
    def __init__(self, conn: Any, channel: str) -> None:
        self._conn = conn
        self._channel = channel

    async def send(self, letters: list[str]) -> None:
        await self._conn.execute(_NOTIFY, self._channel, letters)

    def is_closed(self) -> bool:
        closed: bool = self._conn.is_closed()
        return closed


_NOTIFY = "SELECT pg_notify($1, letter) FROM unnest($2::text[]) AS letter"
