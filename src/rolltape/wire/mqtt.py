"""The live channel's frames over an MQTT broker: which topic each goes to, and the generation that each names.

`rolltape/<project>/<device>/` and then, up: `heartbeat`, `ack`, `report`; down: `offer` (offers, and `revoked`) and
`answer`. The payload is a frame of wire.channel with one more field, `gen`: the binding that it belongs to. A message
that waited at the broker until another binding began is so known for what it is.
"""

from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from rolltape.wire.channel import (
    MAX_HAVE,
    Ack,
    CommandId,
    DeviceFrame,
    Envelope,
    HeartbeatFrame,
    ReportFrame,
    ServerFrame,
)
from rolltape.wire.ids import is_id

ROOT: Final = "rolltape"
SHARE: Final = "rolltape"
"""The group of the nodes' shared subscriptions, and of their NATS queue."""
OFFER: Final = "offer"
ANSWER: Final = "answer"
DOWN: Final = (OFFER, ANSWER)


class BrokerHeartbeat(HeartbeatFrame, kw_only=True, frozen=True, tag="heartbeat"):
    """A heartbeat. `have`, in the first after it has connected: the commands that it still holds unfinished.

    So the server knows that offers may have been lost with the connection before, and makes them again at once.
    """

    have: Annotated[list[CommandId], Meta(max_length=MAX_HAVE)] | None = None


UP: Final[dict[str, type[HeartbeatFrame | Ack | ReportFrame]]] = {
    "heartbeat": BrokerHeartbeat,
    "ack": Ack,
    "report": ReportFrame,
}
"""What a device may say, by the last word of the topic."""
FRAME_LIMITS: Final = {"heartbeat": 1024 * 1024, "ack": 64 * 1024, "report": 64 * 1024}
"""The longest payload of each, in bytes."""
ANSWER_EXPIRY_SEC: Final = 60
"""An answer that a device has not taken by then is of no use: it has asked again."""


class Place(NamedTuple):
    """What a topic names."""

    project_id: str
    device_id: str
    leaf: str


def topic(project_id: str, device_id: str, leaf: str, sep: str = "/") -> str:
    """The topic; with `.` the subject that NATS has for it."""
    return sep.join((ROOT, project_id, device_id, leaf))


def place_of(text: str, sep: str = "/") -> Place | None:
    """The place that a topic names; None for one that isn't ours."""
    parts = text.split(sep)
    if len(parts) != 4 or parts[0] != ROOT or not is_id("proj", parts[1]) or not is_id("dev", parts[2]):
        return None
    return Place(*parts[1:])


class Spoken(Envelope):
    """What can be said of any payload. `gen`: the binding that it names."""

    gen: Any = None


_read = msgspec.json.Decoder(Spoken).decode
_encode = msgspec.json.Encoder().encode


def spoken_in(payload: bytes) -> Spoken | None:
    """None for what isn't a JSON object with a `type`."""
    try:
        return _read(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def payload_of(frame: DeviceFrame | ServerFrame | dict[str, Any], generation: int) -> bytes:
    """A frame as it travels."""
    return b'{"gen":%d,' % generation + _encode(frame)[1:]
