"""Opening the live channel: a WebSocket to the server with the device's token, and what a refusal means."""

import ssl

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.http11 import Response
from websockets.typing import Subprotocol

from rolltape.clock import Clock
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.heard import error_of
from rolltape.recorder.identity import Identity
from rolltape.recorder.transport import TokenEnded, Unreachable, retry_after, tls_of, why
from rolltape.wire.channel import SUBPROTOCOL

CHANNEL_PATH = "/v1/devices/me/channel"
MAX_FRAME_BYTES = 1 << 20
"""The longest frame from the server that is taken."""
CLOSE_SEC = 1.0
_OPEN_FAILS = (OSError, WebSocketException, ValueError, ImportError, EOFError)
"""ImportError: the proxy of this machine's settings needs a library that isn't here."""


class _Straight(connect):
    """There are no redirects on the device plane: a token goes to the server that was named, and nowhere else."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class Upgrade:
    """Opens channels. Everything that it needs to know is in the settings and the identity."""

    def __init__(self, settings: RecorderSettings, identity: Identity, clock: Clock) -> None:
        self._settings = settings
        self._identity = identity
        self._clock = clock
        self._tls = tls_of(settings)

    async def open(self) -> ClientConnection:
        """A channel that nothing was said on yet. Raises Unreachable and TokenEnded."""
        seconds = self._settings.http_timeout_sec
        for token in self._identity.tokens():
            try:
                socket = await self._clock.wait(self._connect(token), seconds)
            except InvalidStatus as refused:
                _look_at(refused.response)
                continue
            except _OPEN_FAILS as error:
                raise Unreachable(why(error)) from error
            if socket is None:
                raise Unreachable(f"no answer within {seconds:g} s")
            if socket.subprotocol != SUBPROTOCOL:
                socket.transport.abort()
                raise Unreachable(f"whoever answered does not speak {SUBPROTOCOL}")
            self._identity.worked(token)
            return socket
        raise Unreachable("the server does not know this token: bind the device again and pass the new one")

    async def _connect(self, token: str) -> ClientConnection:
        base = self._settings.base_url
        secure: ssl.SSLContext | bool | None = None
        if base.startswith("https:"):
            secure = self._tls if self._tls is not None else True
        return await _Straight(
            "ws" + base.removeprefix("http") + CHANNEL_PATH,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers={"Authorization": f"Bearer {token}"},
            user_agent_header="rolltape-recorder",
            compression=None,
            proxy=None if self._settings.is_loopback else True,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_SEC,
            max_size=MAX_FRAME_BYTES,
            ssl=secure,
        )


def _look_at(response: Response) -> None:
    """401 with an unknown token: the next may do. Raises Unreachable and TokenEnded for all else."""
    code = error_of(bytes(response.body or b"")).code
    if response.status_code != 401:
        wait = retry_after(response.headers.get("Retry-After", ""))
        raise Unreachable(f"the server answered {response.status_code} {code}".rstrip(), wait)
    if code == "token_revoked":
        raise TokenEnded
