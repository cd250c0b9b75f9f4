"""The relay plane as it travels: tokens, offers, the challenge, and a device's words with the receipts that sign them.

docs/relay.md tells the same to those who write the network half of a phone app.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from rolltape.wire.command import Offer, Report, Status
from rolltape.wire.common import Count, Reason
from rolltape.wire.heartbeat import AckAnswer, Heartbeat, ResultAnswer
from rolltape.wire.ids import ID_PATTERN
from rolltape.wire.keys import Alg
from rolltape.wire.receipt import MAX_TEXT
from rolltape.wire.recording import CreateRecording, UploadComplete
from rolltape.wire.times import TimeInput, Timestamp

DEFAULT_TTL_SECONDS = 3600
MAX_DEVICES = 1000
"""The most devices that one token may name."""

ReceiptText = Annotated[
    str, Meta(max_length=MAX_TEXT, description="Signed by the device: COSE_Sign1 in base64url, or a compact JWS")
]
DeviceId = Annotated[str, Meta(pattern=ID_PATTERN.format(prefix="dev"), max_length=68)]
EndUserId = Annotated[str, Meta(pattern=ID_PATTERN.format(prefix="eu"), max_length=67)]
CommandId = Annotated[str, Meta(pattern=ID_PATTERN.format(prefix="cmd"), max_length=68)]
RecordingId = Annotated[str, Meta(pattern=ID_PATTERN.format(prefix="rec"), max_length=68)]
Nonce = Annotated[
    str,
    Meta(min_length=22, max_length=22, pattern="^[A-Za-z0-9_-]{22}$", description="16 bytes of chance, base64url"),
]


class CreateRelayToken(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/relay-tokens. Without `device_ids` it is for all devices of the end user."""

    end_user_id: EndUserId
    device_ids: Annotated[list[DeviceId], Meta(min_length=1, max_length=MAX_DEVICES)] | None = None
    ttl_seconds: Annotated[int, Meta(ge=60, le=86_400)] = DEFAULT_TTL_SECONDS


class RelayToken(Struct, kw_only=True, frozen=True):
    """A relay token, shown this once."""

    relay_token: str
    expires_at: Timestamp


class RelayDevice(Struct, kw_only=True, frozen=True):
    """A device that this relay may serve. `has_key`: it signs receipts, and without one a word of it is a claim."""

    id: str
    serial_number: str
    binding_generation: Count
    grant_alg: Alg
    has_key: bool
    commands_wait: bool


class RelayDevices(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The devices that this relay may serve, oldest first, MAX_DEVICES at most. `more`: there are others."""

    data: list[RelayDevice]
    more: bool = False


class RelayOffer(Offer, kw_only=True, frozen=True):
    """A command to be carried. Both grants say the same and end soon; `grant_cwt` (base64url) is for the air."""

    device_id: str
    grant_cwt: str


class RelayCommands(Struct, kw_only=True, frozen=True):
    """What to carry, what to carry no more, and where to go on from."""

    commands: list[RelayOffer]
    revoked: list[str]
    cursor: str
    server_time: Timestamp


class RelayRevoked(Struct, kw_only=True, frozen=True):
    """The data of an event `revoke`: a command that is not to be carried any more."""

    id: str


class Challenge(Struct, kw_only=True, frozen=True):
    """A device's nonce, and what it asks: whether it may obey `jti`, what the server has of `recording_id`, a floor."""

    nonce: Nonce
    jti: CommandId | None = None
    recording_id: RecordingId | None = None
    seq_floor: bool | None = None


class ChallengeAnswer(Struct, kw_only=True, frozen=True):
    """The signed answer, in base64url: bytes for the device, which alone can judge them."""

    answer_cwt: str


class RelayAck(Struct, kw_only=True, frozen=True):
    """Body of an acknowledgement through a relay."""

    receipt: ReceiptText | None = None


class RelayReport(Report, kw_only=True, frozen=True):
    """A device's word on how a command ended, through a relay."""

    receipt: ReceiptText | None = None


class RelayHeartbeat(Heartbeat, kw_only=True, frozen=True):
    """A device's heartbeat through a relay. With a receipt, all of it is signed: `acks` and `results` too."""

    receipt: ReceiptText | None = None


class RelayCreateRecording(CreateRecording, kw_only=True, frozen=True):
    """A recording, announced through a relay. `id` is required with a receipt."""

    receipt: ReceiptText | None = None


class RelayUploadComplete(UploadComplete, kw_only=True, frozen=True):
    """The end of an upload through a relay. The receipt signs what is said here, `content_sha256` above all."""

    receipt: ReceiptText | None = None


class Claimed(Struct, kw_only=True, frozen=True):
    """A relay's bare word for a device that signs: kept in the command's history, and nothing has changed.

    `status` is how the command stands, null where it wasn't about one.
    """

    claimed: bool
    status: Status | None


class RelayHeartbeatAnswer(Struct, kw_only=True, frozen=True):
    """What became of it. `taken` is false where the device is online itself: then its own word on its state stands."""

    status: Literal["ok"]
    server_time: Timestamp
    next_heartbeat_sec: int
    binding_generation: int
    taken: bool
    acks: list[AckAnswer]
    results: list[ResultAnswer]


class Claim(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a relay claimed, in the data of the event `command.claimed`."""

    status: Literal["delivered", "executed", "failed"]
    executed_at: TimeInput | None = None
    result: dict[str, Any] | None = None
    error: Reason | None = None
