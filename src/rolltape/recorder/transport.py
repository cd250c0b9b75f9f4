"""HTTP as a device speaks it: one bearer token, answers of bounded size, and three ways to fail that mean something.

`Unreachable`: nothing is known, try again later. `TokenEnded`: the binding is over. Everything else is an `Answer`.
"""

import ssl
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2
import msgspec

from rolltape.clock import Clock
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.heard import UNREADABLE, ErrorHeard, error_of
from rolltape.recorder.identity import Identity

T = TypeVar("T")
MAX_ANSWER_BYTES = 1 << 20
_MAX_RETRY_AFTER_SEC = 3600.0


def why(error: Exception) -> str:
    """Why no connection came about, for the log; with what to do where it is the certificate."""
    said = f"{type(error).__name__}: {error}"
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return f"{said}. For a certificate of your own, name it: --ca-file or ROLLTAPE_CA_FILE"
    return said


class Unreachable(Exception):
    """The server could not be heard, or can't answer now. `retry_after` is in seconds, where the server said it."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TokenEnded(Exception):
    """401 `token_revoked`: the binding of this token is over."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that says something. `sent` is the monotonic time at which the request left.

    `by_broker`: it came by way of a broker, which may have made it up; None: from the server itself. True: a broker
    that nobody else can speak for.
    """

    status: int
    body: bytes
    headers: httpx2.Headers = field(default_factory=httpx2.Headers)
    sent: float = 0.0
    by_broker: bool | None = None

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300

    @property
    def error(self) -> ErrorHeard:
        """What it says went wrong."""
        return error_of(self.body)

    def read(self, shape: type[T]) -> T:
        """The body. Raises Unreachable where it isn't that shape: whoever answered wasn't the server."""
        try:
            return msgspec.json.decode(self.body, type=shape)
        except UNREADABLE as error:
            raise Unreachable(f"the answer can't be read: {error}") from error


class Line:
    """The recorder's connections to its server and to where it uploads."""

    def __init__(self, settings: RecorderSettings, identity: Identity, clock: Clock) -> None:
        self._settings = settings
        self._identity = identity
        self._clock = clock
        limits = httpx2.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=75)
        self._http = httpx2.AsyncClient(
            verify=tls_of(settings) or True,
            limits=limits,
            trust_env=not settings.is_loopback,
            headers={"User-Agent": "rolltape-recorder"},
        )
        self._base = settings.base_url
        self.is_reached = False
        """Whether the last call was answered."""

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def call(
        self, method: str, path: str, body: Any = None, *, query: str = "", timeout: float | None = None
    ) -> Answer:
        """Call the API with the token. Raises Unreachable (also for 408, 429 and 5xx) and TokenEnded."""
        content = b"" if body is None else msgspec.json.encode(body)
        url = f"{self._base}{path}{'?' + query if query else ''}"
        answer: Answer | None = None
        for token in self._identity.tokens():
            headers = {"Authorization": f"Bearer {token}"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            answer = await self._told(self.raw(method, url, headers=headers, content=content, timeout=timeout))
            if answer.status != 401:
                self._identity.worked(token)
                return answer
            if answer.error.code == "token_revoked":
                raise TokenEnded
        raise Unreachable("the server does not know this token: bind the device again and pass the new one")

    async def _told(self, call: Awaitable[Answer]) -> Answer:
        """Note whether there was an answer."""
        try:
            answer = await call
        except Unreachable:
            self.is_reached = False
            raise
        self.is_reached = True
        return answer

    async def call_as_before(self, method: str, path: str, body: Any) -> Answer | None:
        """Call the API with the token of the binding before this one; None where there was none. Raises Unreachable."""
        token = self._identity.known.former_token
        if token is None:
            return None
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return await self.raw(method, f"{self._base}{path}", headers=headers, content=msgspec.json.encode(body))

    async def raw(
        self, method: str, url: str, *, headers: dict[str, str], content: bytes, timeout: float | None = None
    ) -> Answer:
        """Call any URL, without the token. Raises Unreachable."""
        seconds = timeout if timeout is not None else self._settings.http_timeout_sec
        try:
            request = self._http.build_request(method, url, headers=headers, content=content, timeout=seconds)
            answer = await self._clock.wait(self._exchange(request), seconds)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise Unreachable(why(error)) from error
        if answer is None:
            raise Unreachable(f"no answer within {seconds:g} s")
        if answer.status in {408, 429} or answer.status >= 500:
            raise Unreachable(
                f"the server answered {answer.status}", retry_after(answer.headers.get("retry-after", ""))
            )
        return answer

    async def _exchange(self, request: httpx2.Request) -> Answer:
        sent = self._clock.monotonic()
        response = await self._http.send(request, stream=True)
        try:
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    raise Unreachable("the answer is too long")
            return Answer(response.status_code, bytes(body), response.headers, sent)
        finally:
            await response.aclose()


class NoLine:
    """Of a recorder that has no server of its own: every call says so."""

    is_reached = False

    async def close(self) -> None:
        """Nothing is open."""

    async def call(
        self, method: str, path: str, body: Any = None, *, query: str = "", timeout: float | None = None
    ) -> Answer:
        """Raises Unreachable."""
        raise Unreachable("this recorder has no server of its own")

    async def call_as_before(self, method: str, path: str, body: Any) -> Answer | None:
        """There was none."""
        return None

    async def raw(
        self, method: str, url: str, *, headers: dict[str, str], content: bytes, timeout: float | None = None
    ) -> Answer:
        """Raises Unreachable."""
        raise Unreachable("this recorder has no server of its own")


def tls_of(settings: RecorderSettings) -> ssl.SSLContext | None:
    """Who may vouch for the server, where the settings say so."""
    return None if settings.ca_file is None else ssl.create_default_context(cafile=str(settings.ca_file))


def retry_after(text: str) -> float | None:
    """The seconds of a `Retry-After` header; None where it has none that can be read."""
    return min(float(text), _MAX_RETRY_AFTER_SEC) if text.isascii() and text.isdigit() else None
