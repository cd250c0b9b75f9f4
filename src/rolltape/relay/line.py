"""HTTP as a relay speaks it: one bearer token, answers of bounded size, and three ways to fail that mean something.

`Unreachable`: nothing is known, try again later. `TokenEnded`: this relay may carry nothing. Everything else is an
`Answer`, also where the server refuses.
"""

import ssl
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
import msgspec
from msgspec import Struct

from rolltape.clock import Clock
from rolltape.relay.config import RelaySettings
from rolltape.relay.token import Token, TokenEnded

T = TypeVar("T")
MAX_ANSWER_BYTES = 1 << 20
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises over bytes that are not what was hoped for."""
_MAX_RETRY_AFTER_SEC = 3600.0


class Unreachable(Exception):
    """The server could not be heard, or can't answer now. `retry_after` is in seconds, where the server said it.

    `offline`: nothing was heard at all, so that this relay has no network as far as it can tell.
    """

    def __init__(self, message: str, *, offline: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.offline = offline
        self.retry_after = retry_after


class ErrorHeard(Struct, frozen=True):
    """Why something was refused."""

    code: str = ""
    message: str = ""


class _ErrorAnswer(Struct, frozen=True):
    error: ErrorHeard


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that says something."""

    status: int
    body: bytes
    headers: httpx2.Headers

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300

    @property
    def error(self) -> ErrorHeard:
        """What it says went wrong; empty where it says nothing that can be read."""
        try:
            return msgspec.json.decode(self.body, type=_ErrorAnswer).error
        except UNREADABLE:
            return ErrorHeard()

    @property
    def said(self) -> str:
        """For the log."""
        return f"the server answered {self.status} {self.error.code}".rstrip()

    def read(self, shape: type[T]) -> T:
        """The body. Raises Unreachable where it isn't that shape: whoever answered wasn't the server."""
        try:
            return msgspec.json.decode(self.body, type=shape)
        except UNREADABLE as error:
            raise Unreachable(f"the answer can't be read: {error}", offline=True) from error


class Line:
    """The connections to the server and to where it wants uploads."""

    def __init__(self, settings: RelaySettings, token: Token, clock: Clock) -> None:
        self._settings, self._token, self._clock = settings, token, clock
        verify: ssl.SSLContext | bool = True
        if settings.ca_file is not None:
            verify = ssl.create_default_context(cafile=str(settings.ca_file))
        self._http = httpx2.AsyncClient(
            verify=verify,
            limits=httpx2.Limits(max_connections=16, max_keepalive_connections=8, keepalive_expiry=75),
            trust_env=not settings.is_loopback,
            headers={"User-Agent": "rolltape-relay"},
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def call(
        self, method: str, path: str, content: bytes | None = None, *, timeout: float | None = None
    ) -> Answer:
        """Call the API with the token and JSON. Raises Unreachable (also for 408, 429, 5xx) and TokenEnded."""
        token = self._token.current()
        headers = {"Authorization": f"Bearer {token}"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        url = self._settings.base_url + path
        answer = await self.raw(method, url, headers=headers, content=content or b"", timeout=timeout)
        if answer.status == 401:
            self._token.refuse(token)
            raise TokenEnded("the server does not take this relay token: mint a new one, POST /v1/relay-tokens")
        return answer

    async def raw(
        self, method: str, url: str, *, headers: dict[str, str], content: bytes, timeout: float | None = None
    ) -> Answer:
        """Call any URL, without the token. Raises Unreachable."""
        seconds = timeout if timeout is not None else self._settings.http_timeout_sec
        try:
            request = self._http.build_request(method, url, headers=headers, content=content, timeout=seconds)
            answer = await self._clock.wait(self._exchange(request), seconds)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}", offline=True) from error
        if answer is None:
            raise Unreachable(f"no answer within {seconds:g} s", offline=True)
        if answer.status in {408, 429} or answer.status >= 500:
            raise Unreachable(answer.said, retry_after=_retry_after(answer.headers))
        return answer

    async def _exchange(self, request: httpx2.Request) -> Answer:
        response = await self._http.send(request, stream=True)
        try:
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    raise Unreachable("the answer is too long", offline=True)
            return Answer(response.status_code, bytes(body), response.headers)
        finally:
            await response.aclose()


def json(value: Any) -> bytes:
    """`value` as a body."""
    return msgspec.json.encode(value)


def _retry_after(headers: httpx2.Headers) -> float | None:
    text = headers.get("retry-after", "")
    return min(float(text), _MAX_RETRY_AFTER_SEC) if text.isascii() and text.isdigit() else None
