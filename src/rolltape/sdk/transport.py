"""Taking the steps on httpx2: what the blocking and the async client do on the network, and what failure means."""

import ipaddress
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx2

from rolltape.clock import Clock
from rolltape.sdk.errors import SettingsError
from rolltape.sdk.exchange import Session
from rolltape.sdk.steps import Answer, Fetch, NoAnswer, Outcome, Send

_CHUNK = 64 * 1024
_NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    httpx2.InvalidURL,
)


def is_loopback(url: str) -> bool:
    """Whether `url` is on this machine: no proxy is asked for it."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def client_options(url: str, ca_file: Path | None) -> dict[str, Any]:
    """How httpx2 is to be set up for a server at `url`, whose certificate is from `ca_file` if that is given."""
    options: dict[str, Any] = {"trust_env": not is_loopback(url), "follow_redirects": False}
    if ca_file is not None:
        import ssl

        try:
            options["verify"] = ssl.create_default_context(cafile=str(ca_file))
        except ssl.SSLError as error:
            raise SettingsError(f"the CA file {ca_file} holds no certificate in PEM ({error})") from error
    return options


def _no_answer(error: Exception) -> NoAnswer:
    why = str(error) or type(error).__name__
    return NoAnswer(sent=not isinstance(error, _NOT_SENT), why=why)


def _answer(response: httpx2.Response, body: bytes) -> Answer:
    return Answer(response.status_code, {name.lower(): text for name, text in response.headers.items()}, body)


class Blocking:
    """Takes steps and blocks meanwhile. Safe to share between threads."""

    def __init__(self, http: httpx2.Client, session: Session, clock: Clock) -> None:
        self.http, self.session, self.clock = http, session, clock

    def send(self, step: Send) -> Outcome:
        """One request, its whole answer."""
        content = step.content() if callable(step.content) else step.content
        try:
            response = self.http.request(
                step.method, step.url, headers=dict(step.headers), content=content, timeout=step.timeout
            )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return _no_answer(error)
        return _answer(response, response.content)

    def fetch(self, step: Fetch) -> Outcome:
        """One GET whose body goes to the sink."""
        try:
            with self.http.stream("GET", step.url, headers=dict(step.headers), timeout=step.timeout) as response:
                head = _answer(response, b"")
                if not step.sink.begin(head):
                    return _answer(response, response.read())
                for chunk in response.iter_raw(_CHUNK):
                    step.sink.write(chunk)
                return head
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return _no_answer(error)

    def pause(self, seconds: float) -> None:
        """Let the time go by in this thread."""
        threading.Event().wait(seconds)


class Async:
    """Takes steps without blocking the event loop; file work is done in threads."""

    def __init__(self, http: httpx2.AsyncClient, session: Session, clock: Clock) -> None:
        self.http, self.session, self.clock = http, session, clock

    async def send(self, step: Send) -> Outcome:
        """One request, its whole answer."""
        content = _in_threads(step.content()) if callable(step.content) else step.content
        try:
            response = await self.http.request(
                step.method, step.url, headers=dict(step.headers), content=content, timeout=step.timeout
            )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return _no_answer(error)
        return _answer(response, response.content)

    async def fetch(self, step: Fetch) -> Outcome:
        """One GET whose body goes to the sink."""
        import asyncio

        try:
            async with self.http.stream("GET", step.url, headers=dict(step.headers), timeout=step.timeout) as response:
                head = _answer(response, b"")
                if not step.sink.begin(head):
                    return _answer(response, await response.aread())
                async for chunk in response.aiter_raw(_CHUNK):
                    await asyncio.to_thread(step.sink.write, chunk)
                return head
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return _no_answer(error)

    async def pause(self, seconds: float) -> None:
        """Let the time go by."""
        await self.clock.sleep(seconds)


async def _in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    import asyncio

    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk


class Hands(Protocol):
    """What both have in common."""

    session: Session
    clock: Clock
