"""The access log: one line for each answer, without queries, headers and bodies, so without anybody's secret."""

import logging
from typing import Final

from rolltape.clock import Clock
from rolltape.domain.principal import DevicePrincipal, KeyPrincipal
from rolltape.web.call import WHO, ASGIApp, Message, Receive, Scope, Send
from rolltape.web.errors import scrubbed

log: Final = logging.getLogger("rolltape.access")
_MOST_PATH: Final = 256


class AccessLog:
    """An ASGI application that logs what the one inside it answers.

    A request is logged when its answer is over (a stream's at its end), or its client gone (status `-`); a live channel
    when it opens, with 101.
    """

    def __init__(self, inside: ASGIApp, clock: Clock) -> None:
        self._inside = inside
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        line = _Line(scope, self._clock)

        async def heard(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                line.answered(message["status"], message)
            elif message["type"] == "websocket.accept":
                line.answered(101, message)
                line.say(scope)  # the scope is let go of once it is open
            await send(message)

        try:
            await self._inside(scope, receive, heard)
        finally:
            line.say(scope)


class _Line:
    """What becomes one line."""

    def __init__(self, scope: Scope, clock: Clock) -> None:
        path = scope.get("raw_path") or scope["path"].encode()
        self._path = scrubbed(path[:_MOST_PATH].decode("ascii", "backslashreplace"))
        self._method = scope.get("method", "GET")
        self._clock, self._begun = clock, clock.monotonic()
        self._status: int | str = "-"
        self._request_id = "-"
        self._said = False

    def answered(self, status: int, message: Message) -> None:
        self._status = status
        for name, value in message.get("headers", ()):
            if name == b"x-request-id":
                self._request_id = value.decode("ascii")

    def say(self, scope: Scope) -> None:
        if self._said:
            return
        self._said = True
        took_ms = (self._clock.monotonic() - self._begun) * 1000
        log.info(
            "%s %s status=%s ms=%.1f request=%s who=%s",
            *(self._method, self._path, self._status, took_ms, self._request_id, _shown(scope.get(WHO))),
        )


def _shown(who: object) -> str:
    """Whose credential it was: a key, a device, or the end user for whom a relay is there."""
    if isinstance(who, KeyPrincipal):
        return who.key_id
    if isinstance(who, DevicePrincipal):
        return who.device_id
    return "-" if who is None else f"relay of {getattr(who, 'end_user_id', '-')}"
