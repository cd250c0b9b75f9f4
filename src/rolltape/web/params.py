"""Query parameters, and the headers that mean something, as the operations take them."""

import re
from typing import Annotated, Any

from msgspec import Meta, Struct

from rolltape.codes import Code, Problem
from rolltape.web.call import Call
from rolltape.web.operation import HeaderParam
from rolltape.wire.command import CommandType, Status
from rolltape.wire.device import DeviceStatus
from rolltape.wire.ids import ID_PATTERN
from rolltape.wire.recording import RecordingStatus

WAIT_MAX_SEC = 60
_PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?:$|[,;])", re.ASCII | re.IGNORECASE)

Limit = Annotated[int, Meta(ge=1, le=100, description="How many, at most")]
Cursor = Annotated[
    str, Meta(min_length=1, max_length=512, description="`next_cursor` of the page before, with the same filters")
]
Wait = Annotated[float, Meta(ge=0, le=WAIT_MAX_SEC)]
Filter = Annotated[str, Meta(min_length=1, max_length=255)]
DeviceIdFilter = Annotated[str, Meta(pattern=ID_PATTERN.format(prefix="dev"), max_length=68)]
EndUserIdFilter = Annotated[str, Meta(pattern=ID_PATTERN.format(prefix="eu"), max_length=67)]
CommandIdFilter = Annotated[str, Meta(pattern=ID_PATTERN.format(prefix="cmd"), max_length=68)]


class PageQuery(Struct, kw_only=True, frozen=True):
    """Any list."""

    limit: Limit = 20
    cursor: Cursor | None = None


class WaitQuery(Struct, kw_only=True, frozen=True):
    """Create with `wait`."""

    wait: (
        Annotated[
            Wait, Meta(description="Hold the answer until the command is terminal, or so many seconds have gone by")
        ]
        | None
    ) = None


class PendingQuery(Struct, kw_only=True, frozen=True):
    """The poll."""

    wait: Annotated[
        Wait, Meta(description="Hold the answer until there is a command to offer, or so many seconds have gone by")
    ] = 0


class ForceQuery(Struct, kw_only=True, frozen=True):
    """Delete, by force or not."""

    force: Annotated[bool, Meta(description="Go ahead even while a remotely started recording runs")] = False


class DevicesQuery(PageQuery, kw_only=True, frozen=True):
    """Devices: all filters must hold."""

    status: DeviceStatus | None = None
    end_user_id: EndUserIdFilter | None = None
    online: bool | None = None
    serial_number: Filter | None = None


class CommandsQuery(PageQuery, kw_only=True, frozen=True):
    """Commands of one device. `status` may be repeated: any of them."""

    status: Annotated[list[Status], Meta(max_length=20)] = []
    type: CommandType | None = None


class EndUsersQuery(PageQuery, kw_only=True, frozen=True):
    """End users. `external_id` is an exact look-up."""

    external_id: Filter | None = None


class EndUserQuery(Struct, kw_only=True, frozen=True):
    """Whose."""

    end_user_id: EndUserIdFilter


class RelayCommandsQuery(Struct, kw_only=True, frozen=True):
    """A relay's poll."""

    wait: Annotated[
        Wait, Meta(description="Hold the answer until there is something to tell, or so many seconds have gone by")
    ] = 0
    cursor: Annotated[str, Meta(min_length=1, max_length=512, description="`cursor` of the answer before")] | None = (
        None
    )


class RecordingsQuery(PageQuery, kw_only=True, frozen=True):
    """Recordings: all filters must hold."""

    device_id: DeviceIdFilter | None = None
    end_user_id: EndUserIdFilter | None = None
    status: RecordingStatus | None = None
    command_id: CommandIdFilter | None = None


IDEMPOTENCY_KEY = HeaderParam(
    "Idempotency-Key",
    "The same as `idempotency_key` in the body. When both are given they must be equal",
    {"type": "string", "minLength": 1, "maxLength": 255},
)
PREFER = HeaderParam(
    "Prefer", "`wait=N`: the same as the query parameter, which wins. Over 60 counts as 60", {"type": "string"}
)


def wait_seconds(call: Call[Any, WaitQuery]) -> float:
    """How long to hold the answer: the query's word, else that of `Prefer: wait=N` (RFC 7240), else 0.

    A preference that can't be read is no preference (RFC 7240, section 2).
    """
    if call.query.wait is not None:
        return call.query.wait
    prefer = call.headers.get(b"prefer")
    if prefer is None:
        return 0
    match = _PREFER_WAIT.search(prefer.decode("latin-1"))
    return min(int(match[1]), WAIT_MAX_SEC) if match else 0


def idempotency_key(call: Call[Any, Any], in_body: str | None) -> str | None:
    """The one idempotency key of a request. `Problem` when header and body differ."""
    in_header = call.text_header(b"idempotency-key")
    if in_header is None:
        return in_body
    if not 1 <= len(in_header) <= 255:
        raise Problem(
            Code.INVALID_REQUEST, "The header Idempotency-Key must have 1 to 255 characters.", param="Idempotency-Key"
        )
    if in_body is not None and in_body != in_header:
        raise Problem(
            Code.INVALID_REQUEST,
            "`idempotency_key` in the body and the header Idempotency-Key differ. Send one of them.",
            param="idempotency_key",
        )
    return in_header


class NoBody(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Nothing: the body may be left out, or be an empty object."""


class SignedQuery(Struct, kw_only=True, frozen=True):
    """The permission in a signed URL: use the URL as it was given."""

    tenant: Annotated[str, Meta(pattern="^[0-9]{1,15}$")]
    expires: Annotated[str, Meta(pattern="^[0-9]{1,15}$", description="Unix seconds")]
    signature: Annotated[str, Meta(min_length=1, max_length=128)]
