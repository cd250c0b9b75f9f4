"""What a recorder reads of the server's answers: only what it needs, and nothing else can make an answer unreadable.

A newer server may send fields, types and states that this recorder has never heard of.
"""

from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from rolltape.wire.channel import PING_SEC, SILENCE_SEC
from rolltape.wire.ids import is_id
from rolltape.wire.times import parse

T = TypeVar("T")
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises over bytes that are not what was hoped for."""


class OfferHeard(Struct, frozen=True):
    """An offer. The grant is the command; everything else in an offer is unsigned and not looked at."""

    id: str
    grant_token: str


class PendingHeard(Struct, frozen=True):
    """The answer of the long poll."""

    commands: list[Raw] = []
    server_time: str | None = None


class AckHeard(Struct, frozen=True):
    """One go or no-go in a heartbeat answer."""

    id: str
    go: bool = False
    status: str | None = None


class ErrorHeard(Struct, frozen=True):
    """Why something was refused."""

    code: str = ""
    message: str = ""
    details: Any = None

    @property
    def status(self) -> object:
        """The status of the object that stands in the way, where the server told it."""
        return self.details.get("status") if isinstance(self.details, dict) else None


class ResultHeard(Struct, frozen=True):
    """What became of one report in a heartbeat."""

    id: str
    ok: bool = False
    status: str | None = None
    error: ErrorHeard | None = None


class HeartbeatHeard(Struct, frozen=True):
    """The answer to a heartbeat."""

    server_time: str | None = None
    next_heartbeat_sec: float = 60
    binding_generation: int | None = None
    device_id: str | None = None
    grant_iss: str | None = None
    project_id: str | None = None
    commands: list[Raw] = []
    acks: list[Raw] = []
    results: list[Raw] = []
    grant_keys: dict[str, Any] | None = None
    seq_floor: int | None = None


class HelloHeard(HeartbeatHeard, frozen=True):
    """The answer to a channel's hello: a heartbeat's, and how the channel shows that it is alive, in seconds."""

    ping_sec: float = PING_SEC
    silence_sec: float = SILENCE_SEC


class FrameHeard(Struct, frozen=True):
    """A frame of the live channel, of any type. `answers` is the type of the frame that an error is about."""

    type: str
    id: str | None = None
    ref: str | int | None = None
    status: str | None = None
    ok: bool = False
    code: str = ""
    error: ErrorHeard | None = None
    command: Raw = Raw()
    answers: str | None = msgspec.field(name="in", default=None)

    @property
    def refusal(self) -> str:
        """The code of what was refused."""
        return self.error.code if self.error is not None else self.code


class _ErrorAnswer(Struct, frozen=True):
    error: ErrorHeard


class UploadUrlHeard(Struct, frozen=True):
    """Where to send the bytes of a recording."""

    upload_url: str
    headers: dict[str, str] = {}


class TokenHeard(Struct, frozen=True):
    """A fresh token."""

    device_token: str


class GoHeard(Struct, frozen=True):
    """The answer to an acknowledgement."""

    go: bool = False


def each(items: list[Raw], shape: type[T]) -> list[T]:
    """The items that can be read; the others are passed over."""
    found = []
    for item in items:
        try:
            found.append(msgspec.json.decode(item, type=shape))
        except UNREADABLE:
            continue
    return found


def offers(items: list[Raw]) -> list[OfferHeard]:
    """The offers whose id could be a command's."""
    return [offer for offer in each(items, OfferHeard) if is_id("cmd", offer.id)]


def time_of(text: str | None) -> int | None:
    """A `server_time` in milliseconds, or None where there is none that can be read."""
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError:
        return None


def error_of(body: bytes) -> ErrorHeard:
    """The error in an answer's body; empty where there is none."""
    try:
        return msgspec.json.decode(body, type=_ErrorAnswer).error
    except UNREADABLE:
        return ErrorHeard()
