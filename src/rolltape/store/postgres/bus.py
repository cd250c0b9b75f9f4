"""Wake-ups between nodes, by LISTEN and NOTIFY. They only say "look"; a lost one costs seconds.

What has changed while a notification was on its way goes out with the next one: so there are at most so many a second,
however busy a node is. Whoever was cut off looks at everything again, once it hears.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import asyncpg

from rolltape.store.postgres.database import connect
from rolltape.store.postgres.trouble import GONE, log

LINGER_SECONDS: Final = 0.005
RECONNECT_SECONDS: Final = 1.0
MOST_BYTES: Final = 7_500
"""PostgreSQL takes less than 8,000 in one notification."""
EVERYTHING: Final = "*"
"""As `service.wakeups` has it."""
MOST_WAITING: Final = 10_000
"""Topics that wait for a connection; of more, the others are told to look at everything."""


class PgBus:
    """One connection that listens and speaks on `channel`. `hear` gets the topics of other nodes, on the event loop."""

    def __init__(self, url: str, channel: str, hear: Callable[[tuple[str, ...]], None]) -> None:
        self._url = url
        self._channel = channel
        self._hear = hear
        self._node = secrets.token_hex(4)
        self._out: dict[str, None] = {}
        self._something = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())
        self.listening = asyncio.Event()

    def publish(self, topics: Iterable[str]) -> None:
        """Tells the other nodes, soon."""
        self._out.update(dict.fromkeys(topics))
        if len(self._out) > MOST_WAITING:
            self._out = {EVERYTHING: None}
        self._something.set()

    async def close(self) -> None:
        """Says what is still to be said, and ends."""
        if self.listening.is_set() and self._out:
            await asyncio.sleep(2 * LINGER_SECONDS)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            try:
                conn = await connect(self._url)
                try:
                    await self._speak(conn)
                finally:
                    self.listening.clear()
                    with suppress(*GONE):
                        await conn.close(timeout=1)
            except (*GONE, asyncpg.PostgresError) as error:  # whatever it is: without this task, nobody is ever woken
                log.warning("no wake-ups between nodes at the moment: %s", error)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _speak(self, conn: Any) -> None:
        await conn.add_listener(self._channel, self._heard)
        conn.add_termination_listener(lambda _: self._something.set())
        self.listening.set()
        self._something.set()  # there may be something left from before
        self._hear((EVERYTHING,))
        while not conn.is_closed():
            await self._something.wait()
            self._something.clear()
            if self._out and not conn.is_closed():
                await self._say(conn)
                await asyncio.sleep(LINGER_SECONDS)

    async def _say(self, conn: Any) -> None:
        topics, self._out = self._out, {}
        try:
            await conn.execute(_NOTIFY, self._channel, self._letters(topics))
        except BaseException:
            self.publish(topics)  # said again on the next connection; to hear it twice does no harm
            raise

    def _letters(self, topics: Iterable[str]) -> list[str]:
        letters, line = [], self._node
        for topic in topics:
            if len(line) + len(topic) >= MOST_BYTES:
                letters.append(line)
                line = self._node
            line += f" {topic}"
        return [*letters, line]

    def _heard(self, conn: Any, pid: int, channel: str, letter: str) -> None:
        node, *topics = letter.split(" ")
        if node != self._node:
            self._hear(tuple(topics))


_NOTIFY = "SELECT pg_notify($1, letter) FROM unnest($2::text[]) AS letter"
