"""The web application: path and method lead to an operation of the table; all else is refused in the same shape."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rolltape.codes import Code, Problem
from rolltape.delivery.channels import Channels
from rolltape.delivery.mqtt.route import MqttRoute
from rolltape.web.broker_api import PREFIX, BrokerDoor
from rolltape.web.call import ClientGone, Message, Receive, Scope, Send
from rolltape.web.errors import ENDING, INTERNAL, log_unexpected
from rolltape.web.metrics import of_this_node
from rolltape.web.openapi import document_bytes
from rolltape.web.operation import Operation, RawHandler
from rolltape.web.pipeline import Endpoint, check_ids, refusing, request_id_of, send_problem
from rolltape.web.router import Router
from rolltape.web.shared import Shared
from rolltape.web.siblings import Siblings, told_by
from rolltape.web.table import OPERATIONS

if TYPE_CHECKING:
    from rolltape.service.context import Services

_NO_SOCKET = Problem(
    Code.NOT_FOUND, "No WebSocket is taken at this path. The live channel is at /v1/devices/me/channel."
)
_NOT_FOUND = Problem(Code.NOT_FOUND, "There is nothing at this path. /docs lists all paths; none ends with a slash.")


class RawEndpoint:
    """An operation whose bytes go past the pipeline. It raises `Problem` before it answers, or answers itself.

    Its handler finds `path_params` and `request_id` in the scope; X-Request-Id is put on its answer here.
    """

    def __init__(self, operation: Operation, handler: RawHandler, shared: Shared) -> None:
        self.operation = operation
        self._handler = handler
        self._app = shared.app
        self._requests = shared.requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send, path: dict[str, str], request_id: str) -> None:
        started = False

        async def with_request_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._requests[self.operation.name, message["status"]] += 1
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode("ascii"))]
            await send(message)

        scope["path_params"] = path
        scope["request_id"] = request_id
        try:
            check_ids(path)
            await self._handler(self._app, scope, receive, with_request_id)
        except ClientGone:
            return
        except Problem as problem:
            await send_problem(send, problem, request_id)
        except (Exception, asyncio.CancelledError) as error:
            told = self._unforeseen(error, request_id)
            if started:
                raise
            await send_problem(send, told, request_id)

    def _unforeseen(self, error: BaseException, request_id: str) -> Problem:
        if isinstance(error, asyncio.CancelledError):
            return ENDING  # the drain's time is over; what has come is kept
        log_unexpected(error, self.operation.name, request_id)
        return INTERNAL


class WebApp:
    """The ASGI application. `ready` is what /ready says; `drain` releases every answer that is held back, and all
    channels."""

    def __init__(self, shared: Shared, table: tuple[Operation, ...]) -> None:
        shared.document = document_bytes(table)
        self._shared = shared
        self._clock = shared.clock
        secret = shared.app.config.mqtt_auth_secret
        self._broker_door = None if secret is None else BrokerDoor(shared.app, secret)
        self._router: Router[Endpoint | RawEndpoint] = Router()
        for operation in table:
            if operation.endpoint is not None:
                self._router.add(operation.method, operation.path, RawEndpoint(operation, operation.endpoint, shared))
            else:
                self._router.add(operation.method, operation.path, Endpoint(operation, shared))

    @property
    def ready(self) -> bool:
        """Whether it wants requests: not while it starts or drains."""
        return self._shared.ready

    @ready.setter
    def ready(self, value: bool) -> None:
        self._shared.ready = value

    @property
    def held(self) -> int:
        """How many answers are held back at present."""
        return len(self._shared.holds)

    def drain(self) -> None:
        """From now on /ready says no, and no answer is held back; those that are held back go out at once."""
        self._shared.ready = False
        self._shared.app.draining = True
        self._shared.holds.drain()
        self._shared.channels.drain()
        self._shared.app.wakeups.release_all()

    async def meet(self, siblings: Siblings) -> None:
        """From now on /metrics answers for these, and they for this one. Raises OSError."""
        self._shared.siblings = siblings
        await siblings.open(lambda: told_by(siblings.number, of_this_node(self._shared)))

    def watch(self, route: MqttRoute) -> None:
        """From now on `/metrics` tells of the MQTT route too."""
        self._shared.mqtt = route

    def over_device_rate(self, device_id: str) -> float:
        """Counts one message of a device that comes by another way; in how many seconds it may say it again."""
        limiter = self._shared.device_rate
        return limiter.take(device_id, self._clock.monotonic()).retry_after if limiter.rate else 0.0

    @property
    def channels(self) -> Channels:
        """The live channels."""
        return self._shared.channels

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        if scope["type"] != "http":
            await _lifespan(scope["type"], receive, send)
            return
        if self._broker_door is not None and scope["path"].startswith(PREFIX):
            await self._broker_door(scope, receive, send)
            return
        request_id = request_id_of(scope, self._clock.now_ms())
        found = None if b"%2f" in scope.get("raw_path", b"").lower() else self._router.find(scope["path"])
        if found is None:
            await send_problem(send, _NOT_FOUND, request_id)
            return
        methods, path = found
        method = scope["method"]
        endpoint = methods.get(method)
        if endpoint is not None:
            await endpoint(scope, receive, send, path, request_id)
        elif method == "HEAD" and (endpoint := methods.get("GET")) and not endpoint.operation.poll:
            await endpoint(scope, receive, without_body(send), path, request_id)
        else:
            await _wrong_method(methods, method, send, request_id)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = request_id_of(scope, self._clock.now_ms())
        methods, path = self._router.find(scope["path"]) or ({}, {})
        endpoint = methods.get("GET")
        if isinstance(endpoint, Endpoint) and endpoint.operation.socket is not None:
            await endpoint.upgrade(scope, receive, send, path, request_id)
        else:
            await send_problem(refusing(send), _NO_SOCKET, request_id)


def without_body(send: Send) -> Send:
    """For HEAD: the same answer, its length included, without its bytes."""

    async def only_headers(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    return only_headers


async def _wrong_method(methods: Mapping[str, Any], method: str, send: Send, request_id: str) -> None:
    allowed = set(methods)
    if "GET" in methods and not methods["GET"].operation.poll:
        allowed.add("HEAD")
    listed = ", ".join(sorted(allowed))
    shown = method if method.isalpha() and len(method) <= 16 else "This method"
    problem = Problem(Code.METHOD_NOT_ALLOWED, f"{shown} isn't possible here. Use one of: {listed}.")
    await send_problem(send, problem, request_id, ((b"allow", listed.encode("ascii")),))


async def _lifespan(kind: str, receive: Receive, send: Send) -> None:
    while kind == "lifespan":
        step = (await receive())["type"]
        await send({"type": f"{step}.complete"})
        if step == "lifespan.shutdown":
            return


def build_app(app: "Services") -> WebApp:
    """The application over `app`, which is whole: so it is ready, until it drains."""
    shared = Shared(app, key_rate=app.config.key_rate, device_rate=app.config.device_rate)
    return WebApp(shared, OPERATIONS)
