"""What every request goes through, in this order: who, how often, may they, the ids, the query, the body, the handler.

This is the hot path of the server, so it is plain ASGI: no request objects, no middleware, and all that can be is made
once for each operation. The first refusal (`Problem`) ends it.
"""

import asyncio
import re
from contextlib import aclosing, suppress
from typing import Any, Final

import msgspec

from rolltape.codes import Code, Problem
from rolltape.domain.principal import DevicePrincipal, KeyPrincipal, Principal, RelayPrincipal
from rolltape.service import presence
from rolltape.service.auth import authenticate
from rolltape.web.admission import admit
from rolltape.web.body import BodyDecoder, check_content_type, read_body
from rolltape.web.call import WHO, Call, ClientGone, Header, Message, Receive, Reply, Scope, Send, Stream
from rolltape.web.errors import INTERNAL, STATUS, error_body, error_headers, log_unexpected
from rolltape.web.operation import PATH_PARAMS, Operation
from rolltape.web.query import QueryDecoder, no_query
from rolltape.web.shared import Shared
from rolltape.wire.ids import is_id, new_request_id

JSON: Final = b"application/json"
_ASKED_ID = re.compile(rb"[A-Za-z0-9_.-]{1,128}")
_NO_STORE: Final[Header] = (b"cache-control", b"no-store")
_NO_SNIFF: Final[Header] = (b"x-content-type-options", b"nosniff")
_encode = msgspec.json.Encoder().encode
SEND_SECONDS = 30
"""How long a piece of a stream waits for its reader."""


def request_id_of(scope: Scope, now: int) -> str:
    """The caller's own X-Request-Id where it is sane, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and (asked := asked_id(value)):
            return asked
    return new_request_id(now)


def asked_id(value: bytes) -> str | None:
    """A caller's own X-Request-Id, where it is sane."""
    return str(value, "ascii") if _ASKED_ID.fullmatch(value) else None


async def send_whole(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    """One answer, whole, with its length."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, problem: Problem, request_id: str, extra: tuple[Header, ...] = ()) -> None:
    """An error answer."""
    headers = [
        (b"content-type", JSON),
        (b"x-request-id", request_id.encode("ascii")),
        _NO_STORE,
        _NO_SNIFF,
        *error_headers(problem),
        *extra,
    ]
    await send_whole(send, STATUS[problem.code], headers, error_body(problem, request_id))


class Endpoint:
    """One operation, ready to be called."""

    def __init__(self, operation: Operation, shared: Shared) -> None:
        assert operation.handler is not None
        self.operation = operation
        self._handler = operation.handler
        self._shared = shared
        self._status = next(iter(operation.answers))
        self._public = operation.public
        self._has_ids = bool(operation.params)
        self._query = QueryDecoder(operation.query, lenient=operation.lenient) if operation.query else None
        self._body = BodyDecoder(operation.body, optional=operation.body_optional) if operation.reads_body else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send, path: dict[str, str], request_id: str) -> None:
        call: Call[Any, Any] = Call(self._shared, scope, receive, path, request_id)
        try:
            result = await self._answer(call)
            status, headers, body = self._encoded(result, call)
        except Problem as problem:
            status = STATUS[problem.code]
            await send_problem(send, problem, request_id, call.limits)
        except ClientGone:
            return
        except (Exception, asyncio.CancelledError) as error:  # the last line: no exception's text reaches a client
            status = STATUS[INTERNAL.code]
            log_unexpected(error, self.operation.name, request_id)
            await send_problem(send, INTERNAL, request_id, call.limits)
        else:
            if type(result) is Stream:
                await self._stream(result, call, send, headers)
            else:
                await send_whole(send, status, headers, body)
        self._shared.requests[self.operation.name, status] += 1

    async def _answer(self, call: Call[Any, Any]) -> object:
        if len(call.headers) != len(call.scope["headers"]):
            _refuse_doubles(call)
        if not self._public:
            await self._let_in(call)
        if self._query is not None:
            call.query = self._query.decode(call.scope["query_string"])
        elif not self.operation.lenient and not self._public:
            no_query(call.scope["query_string"])
        if self._body is not None:
            data = await read_body(call, self.operation.body_limit)
            if data:
                check_content_type(call.headers.get(b"content-type"))
            call.raw = data
            call.body = self._body.decode(data)
        return await self._handler(call)

    async def _let_in(self, call: Call[Any, Any]) -> None:
        call.who = call.scope[WHO] = who = await authenticate(call.app, bearer(call), call.now)
        self._limit(call, who)
        self._admit(call, who)

    async def upgrade(self, scope: Scope, receive: Receive, send: Send, path: dict[str, str], request_id: str) -> None:
        """Takes a WebSocket, if it is let in; a refusal is an ordinary error answer."""
        assert self.operation.socket is not None
        call: Call[Any, Any] = Call(self._shared, scope, receive, path, request_id)
        try:
            _refuse_doubles(call)
            await self._let_in(call)
            await self.operation.socket(call, send)
        except Problem as problem:
            await send_problem(refusing(send), problem, request_id, call.limits)
            self._shared.requests[self.operation.name, STATUS[problem.code]] += 1
        except OSError:
            return  # the client is gone
        except (Exception, asyncio.CancelledError) as error:
            log_unexpected(error, self.operation.name, request_id)

    def _limit(self, call: Call[Any, Any], who: Principal) -> None:
        shared = self._shared
        if isinstance(who, KeyPrincipal):
            call.limits, refused = shared.key_rate.check(who.key_id, shared.clock.monotonic())
        else:
            limiter = shared.poll_rate if self.operation.poll else shared.device_rate
            call.limits, refused = limiter.check(bucket_of(who), shared.clock.monotonic())
        if refused:
            raise refused

    def _admit(self, call: Call[Any, Any], who: Principal) -> None:
        admit(self.operation, who)
        if isinstance(who, DevicePrincipal) and not self.operation.me:  # those that name the device note it themselves
            presence.touch(call.app, who, call.now)
        if self.operation.me:
            call.path["device_id"] = _own_device(who, call.path["device_id"])
        if self._has_ids:
            check_ids(call.path)

    def _encoded(self, result: object, call: Call[Any, Any]) -> tuple[int, list[Header], bytes]:
        if type(result) is Reply:
            status, content_type, value = result.status, result.content_type, result.body
        else:
            status, content_type, value = self._status, JSON, result
        headers = [(b"x-request-id", call.request_id.encode("ascii")), _NO_STORE, _NO_SNIFF, *call.limits]
        if type(result) is Reply:
            headers += result.headers
        elif type(result) is Stream:
            content_type, value = result.content_type, b""
        if value is None:
            return status, headers, b""
        headers.append((b"content-type", content_type))
        return status, headers, value if isinstance(value, bytes) else _encode(value)

    async def _stream(self, stream: Stream, call: Call[Any, Any], send: Send, headers: list[Header]) -> None:
        headers.append((b"x-accel-buffering", b"no"))
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        try:
            await self._shared.holds.hold_poll(call, stream.name, _pump(stream, send))
        except (ClientGone, TimeoutError):
            return  # nobody reads any more: to return in the middle closes the connection
        except Problem:
            pass  # what it needs isn't there at the moment: the client comes back, and hears of it then
        except Exception as error:
            log_unexpected(error, self.operation.name, call.request_id)
        with suppress(TimeoutError):
            await _send_piece(send, b"", more=False)


async def _pump(stream: Stream, send: Send) -> None:
    async with aclosing(stream.pieces) as pieces:
        async for piece in pieces:
            await _send_piece(send, piece, more=True)


async def _send_piece(send: Send, piece: bytes, *, more: bool) -> None:
    """TimeoutError where a reader has its buffers full and doesn't read on."""
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": piece, "more_body": more})


def bucket_of(who: DevicePrincipal | RelayPrincipal) -> str:
    """Whose requests are counted together.

    A device's by binding: a refreshed token brings no fresh burst, and an ended one takes nothing from the next.
    """
    if isinstance(who, RelayPrincipal):
        return f"relay {who.token_n}"
    return f"{who.device_id}/{who.generation}"


def refusing(send: Send) -> Send:
    """Sends an HTTP answer where a WebSocket was asked for (ASGI's "websocket denial response")."""

    async def as_denial(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return as_denial


def _refuse_doubles(call: Call[Any, Any]) -> None:
    """Two credentials, or two keys, in one request: nobody can say which one is meant."""
    names = [name for name, _ in call.scope["headers"]]
    for name in (b"authorization", b"idempotency-key", b"content-length", b"content-type"):
        if names.count(name) > 1:
            shown = name.decode("ascii").title()
            raise Problem(
                Code.INVALID_REQUEST, f"The header {shown} is there more than once. Send it once.", param=shown
            )


def bearer(call: Call[Any, Any]) -> str:
    """The credential of a request. `Problem` (unauthorized) where there is none that could be one."""
    value = call.headers.get(b"authorization")
    if value is None:
        raise Problem(
            Code.UNAUTHORIZED,
            "No credential. Send `Authorization: Bearer <API key, device token or relay token>`.",
        )
    scheme, _, credential = value.partition(b" ")
    credential = credential.strip()
    if scheme.lower() != b"bearer" or not credential or not credential.isascii() or len(credential) > 512:
        raise Problem(
            Code.UNAUTHORIZED,
            "Authorization isn't `Bearer <API key, device token or relay token>`. Correct it.",
        )
    return credential.decode("ascii")


def check_ids(path: dict[str, str]) -> None:
    """`Problem` (not_found) when an id in the path is of the wrong kind."""
    for name, text in path.items():
        if not is_id(PATH_PARAMS[name][0], text):
            raise not_found(name)


def not_found(param: str) -> Problem:
    """The answer to an id that can't be one, the same as to one that isn't there."""
    what = param.removesuffix("_id").replace("_", " ")
    return Problem(
        Code.NOT_FOUND,
        f"This project has no such {what}. Check the id: it looks like `{PATH_PARAMS[param][0]}_…`.",
        param=param,
    )


def _own_device(who: Principal, text: str) -> str:
    """The device that a path with `{id or me}` means. A token speaks for its own device alone."""
    if isinstance(who, DevicePrincipal):
        if text in ("me", who.device_id):
            return who.device_id
        raise Problem(Code.NOT_FOUND, "A device token speaks for its own device alone: use `me`.", param="device_id")
    if text == "me":
        raise Problem(
            Code.NOT_FOUND,
            "`me` is for a device with its own token. With an API key, put the device's id (`dev_…`) in the path.",
            param="device_id",
        )
    return text
