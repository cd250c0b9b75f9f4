"""A connection to NATS that can't be talked out of TLS, for a server that may be known by a key. Needs `nats-py`."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error, NoServersError

from rolltape.mqtt.nats_login import NatsLogin

CLOSE_SECONDS: Final = 1.0


class NoTls(Error):
    """TLS was asked for, and the server offers none."""

    def __str__(self) -> str:
        return "the server offers no TLS, so it was told no password. Give it a certificate, or write nats://"


class NatsClient(Client):
    """`secure`: nothing is said but over TLS. nats-py speaks TLS where the *server* says so, whatever the URL says: one
    between us and the server, or a server that was set up wrongly, would be shown the password."""

    def __init__(self, login: NatsLogin | None, *, secure: bool) -> None:
        super().__init__()
        self._login = login
        self._secure = secure

    def credentials(self) -> dict[str, Any]:
        """What `connect` takes for the login."""
        login = self._login
        if login is None:
            return {}
        jwt = login.jwt
        return {"signature_cb": login.sign, "user_jwt_cb": None if jwt is None else lambda: bytearray(jwt)}

    def _connect_command(self) -> bytes:
        if self._secure and not self._server_info.get("tls_required"):
            raise NoTls
        if self._login is not None and self._login.jwt is None:
            self._public_nkey = self._login.public_nkey  # nats-py would take it from the package nkeys alone
        return super()._connect_command()


async def close(client: Client) -> None:
    """Ends a connection. Where a TLS handshake has failed, asyncio would wait for its end for ever."""
    with suppress(Error, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()


async def connect(
    urls: Sequence[str],
    tls: ssl.SSLContext | None,
    login: NatsLogin | None,
    on_gone: Callable[[], None],
    *,
    seconds: float,
    **more: Any,
) -> NatsClient:
    """A connection that doesn't come back by itself. `seconds`: how long it may take. `more`: what nats-py takes.

    Raises nats.errors.Error, OSError, TimeoutError: why the last of the servers could not be used.
    """
    failures: list[Exception] = []

    async def gone() -> None:
        on_gone()

    async def failed(error: Exception) -> None:
        failures[:] = [error]

    client = NatsClient(login, secure=tls is not None)
    try:
        async with asyncio.timeout(seconds):
            await client.connect(
                list(urls),
                name="rolltape",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=int(seconds),
                tls=tls,
                error_cb=failed,
                closed_cb=gone,
                disconnected_cb=gone,
                **client.credentials(),
                **more,
            )
    except BaseException as error:
        await close(client)
        if isinstance(error, NoServersError) and failures:  # which hides why
            raise failures[0] from None
        raise
    return client
