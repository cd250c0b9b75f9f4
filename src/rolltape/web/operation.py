"""One row of the table of the API: everything that routing, the checks and the OpenAPI document need to know.

There is no second place: what isn't in the row isn't checked, and what is in the row is documented.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from rolltape.codes import Code, Scope
from rolltape.web.call import Call, Handler, Receive, Send
from rolltape.web.call import Scope as RequestScope
from rolltape.wire.ids import Prefix

if TYPE_CHECKING:
    from rolltape.service.context import Services

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"]
SocketHandler = Callable[[Call[Any, Any], Send], Awaitable[None]]
"""What takes a WebSocket. It raises `Problem` until it accepts."""
RawHandler = Callable[["Services", RequestScope, Receive, Send], Awaitable[None]]
"""What answers an operation whose bytes go past the pipeline."""
BODY_LIMIT = 64 * 1024
"""The greatest body, in bytes."""
HEARTBEAT_LIMIT = 1024 * 1024
"""The greatest heartbeat, in bytes."""

PATH_PARAMS: dict[str, tuple[Prefix, str]] = {
    "device_id": ("dev", "The device's id"),
    "command_id": ("cmd", "The command's id"),
    "recording_id": ("rec", "The recording's id"),
    "end_user_id": ("eu", "The end user's id"),
    "key_id": ("key", "The API key's id"),
    "media_id": ("med", "The id of a recording's file"),
}
"""What may stand between braces in a path: the prefix of the id, and what it is."""


_GUARDED = frozenset(
    {
        Code.INVALID_REQUEST,
        Code.UNAUTHORIZED,
        Code.TOKEN_REVOKED,
        Code.FORBIDDEN,
        Code.RATE_LIMIT_EXCEEDED,
        Code.UNAVAILABLE,
    }
)
"""What every operation that needs a credential may answer."""


@dataclass(frozen=True, slots=True)
class Content:
    """An answer or a body that isn't JSON."""

    media_type: str
    description: str


@dataclass(frozen=True, slots=True)
class Switch:
    """An answer after which the connection speaks something else."""

    description: str


@dataclass(frozen=True, slots=True)
class HeaderParam:
    """A request header that means something to one operation. `schema` is JSON Schema."""

    name: str
    description: str
    schema: Mapping[str, Any]
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation.

    `scope`: what an API key needs; None: no API key may call it. `device`: a device token may.
    `relay`: a relay token may, and nobody else. None of them: public.
    `signed`: the URL itself is the credential. `me`: the path names a device by its id, or by `me` with its own token.
    `lenient`: a device or relay path, where unknown fields and query parameters are ignored, whatever the credential.
    `ended_token`: also with a token whose binding is over. `poll`: has a rate limit of its own, and no HEAD.
    `answers`: status to type (a tuple: any of them; None: no body), the usual one first.
    `errors`: the codes beyond those that every operation of its kind may answer.
    `endpoint` stands for `handler` where the bytes go past the pipeline; `socket` takes a WebSocket on the same path.
    """

    method: Method
    path: str
    name: str
    summary: str
    group: str
    answers: Mapping[int, Any]
    handler: Handler | None = None
    endpoint: RawHandler | None = None
    socket: SocketHandler | None = None
    description: str = ""
    scope: Scope | None = None
    device: bool = False
    relay: bool = False
    me: bool = False
    lenient: bool = False
    ended_token: bool = False
    poll: bool = False
    signed: bool = False
    query: type[Struct] | None = None
    body: Any = None
    body_optional: bool = False
    body_limit: int = BODY_LIMIT
    body_example: Any = None
    errors: tuple[Code, ...] = ()
    headers: tuple[HeaderParam, ...] = ()
    answer_headers: Mapping[str, str] | None = None

    @property
    def public(self) -> bool:
        """Whether it needs no credential."""
        return self.scope is None and not self.device and not self.relay

    @property
    def params(self) -> tuple[str, ...]:
        """The names between braces in the path, in order."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @property
    def reads_body(self) -> bool:
        """Whether there is a JSON body to read."""
        return self.body is not None and not isinstance(self.body, Content)

    @property
    def codes(self) -> tuple[Code, ...]:
        """All codes that it may answer, in the order of `Code`."""
        mine = {Code.INTERNAL_ERROR, *self.errors}
        if self.signed:
            mine.add(Code.FORBIDDEN)
        elif not self.public:
            mine |= _GUARDED
        if self.params:
            mine.add(Code.NOT_FOUND)
        if self.headers:
            mine.add(Code.INVALID_REQUEST)
        if self.reads_body:
            mine.add(Code.PAYLOAD_TOO_LARGE)
        return tuple(code for code in Code if code in mine)
