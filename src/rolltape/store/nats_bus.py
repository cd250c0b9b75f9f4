"""Wake-ups between nodes by NATS, for fleets of nodes whose database should not carry them too.

Plain NATS, no JetStream: what nobody hears is gone, and costs seconds. One subject a deployment. Needs `nats-py`.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nats.aio.msg import Msg

from rolltape.mqtt import nats_client
from rolltape.mqtt.nats_client import NatsClient
from rolltape.mqtt.nats_login import NatsLogin, read_login
from rolltape.store.bus import CONNECT_SECONDS, Hear, Line, NodeBus

MOST_BYTES: Final = 65_536
PING_SECONDS: Final = 5
MOST_PINGS: Final = 2
"""A server that has left so many pings unanswered is gone."""


@dataclass(frozen=True, slots=True)
class NatsServers:
    """Where NATS is: URLs (with user and password, or a token, where it wants them), whom TLS trusts, and a file that
    says who we are (`rolltape.mqtt.nats_login`). With `tls://` or a CA nothing is said but over TLS."""

    urls: tuple[str, ...]
    ca: Path | None = None
    credentials: Path | None = None

    def login(self) -> NatsLogin | None:
        """Who we are, where a file says so. Raises OSError where it can't be used."""
        return None if self.credentials is None else read_login(self.credentials)

    def tls(self) -> ssl.SSLContext | None:
        """For `tls://` and where a CA is named. Raises OSError where that can't be read."""
        if self.ca is None and not any(url.startswith("tls://") for url in self.urls):
            return None
        try:
            return ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise OSError(f"ROLLTAPE_NATS_CA={self.ca} can't be used ({error}). Name a PEM file of CAs.") from None


async def connect(servers: NatsServers, on_closed: Callable[[], None] = lambda: None) -> NatsClient:
    """A connection that doesn't come back by itself. Raises nats.errors.Error, OSError, TimeoutError."""
    return await nats_client.connect(
        servers.urls,
        servers.tls(),
        servers.login(),
        on_closed,
        seconds=CONNECT_SECONDS,
        ping_interval=PING_SECONDS,
        max_outstanding_pings=MOST_PINGS,
    )


class NatsBus(NodeBus):
    """One connection that listens and speaks on `subject`."""

    def __init__(self, servers: NatsServers, subject: str, key: bytes, hear: Hear) -> None:
        self._servers = servers
        self._subject = subject
        super().__init__(key, hear, MOST_BYTES)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Line]:
        """A connection that listens. Raises what `connect` of this module raises."""

        async def letter(message: Msg) -> None:
            if len(message.data) <= MOST_BYTES:
                self.came(message.data.decode("latin-1"))

        client = await connect(self._servers, on_closed=self.look)
        try:
            await client.subscribe(self._subject, cb=letter)
            await client.flush(int(CONNECT_SECONDS))
            yield _NatsLine(client, self._subject)
        finally:
            await nats_client.close(client)


class _NatsLine:
    def __init__(self, client: NatsClient, subject: str) -> None:
        self._client = client
        self._subject = subject

    async def send(self, letters: list[str]) -> None:
        for each in letters:
            await self._client.publish(self._subject, each.encode("ascii"))
        await self._client.flush()

    def is_closed(self) -> bool:
        return not self._client.is_connected


def reachable(servers: NatsServers) -> None:
    """Raises where no server answers, for `doctor`."""

    async def look() -> None:
        client = await connect(servers)
        await client.close()

    asyncio.run(look())
