"""A WebSocket handshake that is none is refused as all else is: the same JSON, a code of ours, a request id."""

from typing import Final

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeader
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import StatusLike

from rolltape.clock import SystemClock
from rolltape.codes import Code, Problem
from rolltape.web.errors import STATUS, error_body
from rolltape.web.pipeline import asked_id
from rolltape.wire.ids import new_request_id

_MESSAGE: Final = (
    "This can't be a WebSocket's handshake (RFC 6455). It is a GET by HTTP/1.1 with Connection: Upgrade, "
    "Upgrade: websocket, Sec-WebSocket-Version: 13, and a Sec-WebSocket-Key of 16 random bytes in Base64, each once."
)
_NOT_GET: Final = Problem(Code.METHOD_NOT_ALLOWED, "A WebSocket is opened by GET. Use that.")


class Handshake(ServerProtocol):
    """The handshake, and the frames after it. Whoever may open a channel is the application's business."""

    _asked: str | None = None

    def accept(self, request: Request) -> Response:
        """101, or a refusal."""
        found = request.headers.get_all("X-Request-Id")
        self._asked = asked_id(found[0].encode("latin-1", "replace")) if found else None
        return super().accept(request)

    def reject(self, status: StatusLike, text: str) -> Response:
        """The refusal; what the library would say of it reaches nobody."""
        error = self.handshake_exc
        param = error.name if isinstance(error, InvalidHeader) else None
        problem = _NOT_GET if int(status) == 405 else Problem(Code.INVALID_REQUEST, _MESSAGE, param=param)
        request_id = self._asked or new_request_id(SystemClock().now_ms())
        body = error_body(problem, request_id)
        headers = Headers(
            {
                "Connection": "close",
                "Content-Length": str(len(body)),
                "Content-Type": "application/json",
                "X-Request-Id": request_id,
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            }
        )
        if problem is _NOT_GET:
            headers["Allow"] = "GET"
        return Response(STATUS[problem.code], problem.code.value, headers, body)
