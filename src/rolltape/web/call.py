"""One request on its way through: what a handler is given, and what it answers."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from rolltape.codes import Code, Problem
from rolltape.domain.principal import DevicePrincipal, Direct, KeyPrincipal, Principal, RelayPrincipal

if TYPE_CHECKING:
    from rolltape.service.context import Services
    from rolltape.web.shared import Shared

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]
WHO: Final = "rolltape.who"
"""Where a request's scope has the `Principal` that it was let in for, for the access log."""

B = TypeVar("B")
Q = TypeVar("Q")


class ClientGone(Exception):
    """The client closed its connection before it had its answer: there is nobody to answer."""


class Call(Generic[B, Q]):
    """A request that was let in: who calls, the ids in its path, its query and body (also raw), and when (ms)."""

    __slots__ = (
        "app",
        "body",
        "headers",
        "limits",
        "now",
        "path",
        "query",
        "raw",
        "receive",
        "request_id",
        "scope",
        "shared",
        "who",
    )

    app: "Services"
    shared: "Shared"
    scope: Scope
    receive: Receive
    headers: Mapping[bytes, bytes]
    path: dict[str, str]
    request_id: str
    now: int
    who: Principal | None
    limits: tuple[Header, ...]
    raw: bytes
    body: B
    query: Q

    def __init__(self, shared: "Shared", scope: Scope, receive: Receive, path: dict[str, str], request_id: str) -> None:
        self.shared = shared
        self.app = shared.app
        self.now = shared.app.clock.now_ms()
        self.scope = scope
        self.receive = receive
        self.headers = dict(scope["headers"])
        self.path = path
        self.request_id = request_id
        self.who = None
        self.limits = ()
        self.raw = b""

    @property
    def caller(self) -> Direct:
        """Who calls an operation of the backend's or the device's plane."""
        assert isinstance(self.who, KeyPrincipal | DevicePrincipal)
        return self.who

    @property
    def relay(self) -> RelayPrincipal:
        """Who calls an operation that only relays may call."""
        assert isinstance(self.who, RelayPrincipal)
        return self.who

    @property
    def key(self) -> KeyPrincipal:
        """Who calls an operation that only API keys may call."""
        assert isinstance(self.who, KeyPrincipal)
        return self.who

    @property
    def device(self) -> DevicePrincipal:
        """Who calls an operation that only device tokens may call."""
        assert isinstance(self.who, DevicePrincipal)
        return self.who

    @property
    def device_id(self) -> str:
        return self.path["device_id"]

    @property
    def command_id(self) -> str:
        return self.path["command_id"]

    @property
    def recording_id(self) -> str:
        return self.path["recording_id"]

    def text_header(self, name: bytes) -> str | None:
        """A header's value as text; None when it isn't there. `Problem` when it isn't UTF-8."""
        value = self.headers.get(name)
        if value is None:
            return None
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            shown = name.decode("ascii").title()
            raise Problem(
                Code.INVALID_REQUEST, f"The header {shown} isn't UTF-8. Send plain text.", param=shown
            ) from None


class Reply:
    """An answer that is more than its body: another status than the operation's first, or headers of its own.

    `body` is a struct to encode, or `bytes` that go out as they are (then `content_type` says what they are).
    """

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        body: object,
        status: int = 200,
        headers: tuple[Header, ...] = (),
        content_type: bytes = b"application/json",
    ) -> None:
        self.body = body
        self.status = status
        self.headers = headers
        self.content_type = content_type


class Stream:
    """An answer that goes on piece by piece until its work is done, the client is gone, or the server drains.

    `name` is whose it is: of one name so many are open at most, and a further one ends the oldest.
    """

    __slots__ = ("content_type", "name", "pieces")

    def __init__(self, pieces: AsyncGenerator[bytes, None], name: str, content_type: bytes) -> None:
        self.pieces = pieces
        self.name = name
        self.content_type = content_type


Handler = Callable[[Call[Any, Any]], Awaitable[object]]
"""A handler answers a struct (sent with the operation's first status), None (then 204), a `Reply` or a `Stream`."""
