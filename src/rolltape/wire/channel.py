"""The live channel: a WebSocket between a device and the server, JSON text frames both ways.

Each frame is an object with a `type`. Fields and types that one side doesn't know are passed over, so that either side
may be newer. docs/protocol.md tells the story; here are the shapes, and the codes a channel is closed with.
"""

from enum import IntEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from rolltape.wire.command import Offer, ReportItem, Status
from rolltape.wire.heartbeat import Heartbeat, HeartbeatAnswer, ResultAnswer

VERSION: Final = 1
SUBPROTOCOL: Final = "rolltape.channel.v1"
"""What the device asks for in `Sec-WebSocket-Protocol`, and the server chooses."""
FRAME_LIMIT: Final = 1024 * 1024
"""The greatest frame from a device, in bytes."""
MAX_HAVE: Final = 1000
"""The most commands that a hello names as still in hand."""
HELLO_SEC: Final = 10
"""The first frame, a hello, comes within so many seconds."""
PING_SEC: Final = 25
"""After so many seconds of silence the server pings a device that isn't on a metered link."""
SILENCE_SEC: Final = 90
"""After so many seconds without a frame the server ends a channel."""
METERED_PING_SEC: Final = 240
"""On 4G only the device pings, and needn't more often than this."""
METERED_SILENCE_SEC: Final = 600
"""The same as SILENCE_SEC, on 4G."""


class Close(IntEnum):
    """Why a channel was closed."""

    UNSUPPORTED = 1003
    TOO_BIG = 1009
    FAULT = 1011
    RESTART = 1012
    TRY_LATER = 1013
    NO_HELLO = 4400
    REVOKED = 4401
    TOKEN_REPLACED = 4403
    SILENCE = 4408
    REPLACED = 4409


CommandId = Annotated[str, Meta(max_length=128)]
Ref = Annotated[int, Meta(ge=-(2**53), le=2**53)] | Annotated[str, Meta(max_length=64)]
"""A device's own mark on a frame, given back with the answer."""


class Hello(Heartbeat, kw_only=True, frozen=True, tag_field="type", tag="hello"):
    """The device's first frame. `have`: the commands that it still holds unfinished."""

    v: int
    have: Annotated[list[CommandId], Meta(max_length=MAX_HAVE)] | None = None


class HeartbeatFrame(Heartbeat, kw_only=True, frozen=True, tag_field="type", tag="heartbeat"):
    """A heartbeat, acks and results included."""

    ref: Ref | None = None


class Ack(Struct, kw_only=True, frozen=True, tag_field="type", tag="ack"):
    """The device has the command and asks for the go."""

    id: CommandId


class ReportFrame(ReportItem, kw_only=True, frozen=True, tag_field="type", tag="report"):
    """The device's word on how a command ended."""


class Ping(Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="type", tag="ping"):
    """Is somebody there? Either side may ask."""

    ref: Ref | None = None


class Pong(Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="type", tag="pong"):
    """The answer to a ping, with its `ref`."""

    ref: Ref | None = None


class HelloAnswer(HeartbeatAnswer, kw_only=True, frozen=True, omit_defaults=True, tag_field="type", tag="hello"):
    """The server's first frame. `commands` is empty: offers are frames of their own.

    `ping_sec`: how long a silence is before a ping; `silence_sec`: how long before either side gives the channel up.
    """

    v: int
    ping_sec: int
    silence_sec: int


class HeartbeatReply(HeartbeatAnswer, kw_only=True, frozen=True, omit_defaults=True, tag_field="type", tag="heartbeat"):
    """The answer to a heartbeat. `commands` is empty: offers are frames of their own."""

    ref: Ref | None = None


class OfferFrame(Struct, kw_only=True, frozen=True, tag_field="type", tag="offer"):
    """A command that waits for the device."""

    command: Offer


class GoFrame(Struct, kw_only=True, frozen=True, tag_field="type", tag="go"):
    """The answer to an ack: the device may act."""

    id: str
    status: Status


class NoGoFrame(Struct, kw_only=True, frozen=True, tag_field="type", tag="no_go"):
    """The answer to an ack: the device drops the command. `status` is null where it isn't this device's."""

    id: str
    status: Status | None


class ReportReply(ResultAnswer, kw_only=True, frozen=True, omit_defaults=True, tag_field="type", tag="report"):
    """What became of a report."""


class Revoked(Struct, kw_only=True, frozen=True, tag_field="type", tag="revoked"):
    """An offer that stands no more. `delivered`: it was acknowledged on another route; null: not this device's."""

    id: str
    status: Status | None


class ErrorFrame(Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="type", tag="error"):
    """A frame that could not be taken. `in`: its type, if it had one; `id`: the command that it named."""

    code: str
    message: str
    in_: str | None = msgspec.field(default=None, name="in")
    id: str | None = None
    ref: Ref | None = None


DeviceFrame = Hello | HeartbeatFrame | Ack | ReportFrame | Ping | Pong
ServerFrame = (
    HelloAnswer | HeartbeatReply | OfferFrame | GoFrame | NoGoFrame | ReportReply | Revoked | Ping | Pong | ErrorFrame
)
DEVICE_FRAMES: Final[dict[str, type[DeviceFrame]]] = {
    "hello": Hello,
    "heartbeat": HeartbeatFrame,
    "ack": Ack,
    "report": ReportFrame,
    "ping": Ping,
    "pong": Pong,
}
"""What a device may send, by type."""


class Envelope(Struct):
    """What can be said of any frame, whether or not the rest of it is right."""

    type: str
    id: Any = None
    ref: Any = None

    @property
    def shown_id(self) -> str | None:
        """Its `id`, where that could be given back."""
        return self.id if isinstance(self.id, str) and len(self.id) <= 128 else None

    @property
    def shown_ref(self) -> int | str | None:
        """Its `ref`, where that could be given back."""
        try:
            shown: int | str = msgspec.convert(self.ref, Ref)
        except msgspec.ValidationError:
            return None
        return shown


_read_envelope = msgspec.json.Decoder(Envelope).decode
_encode = msgspec.json.Encoder().encode


def envelope_of(text: str | bytes) -> Envelope | None:
    """None for what isn't a JSON object with a `type`."""
    try:
        return _read_envelope(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def encode(frame: DeviceFrame | ServerFrame) -> str:
    """A frame as it travels."""
    return _encode(frame).decode("utf-8")
