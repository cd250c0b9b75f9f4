"""Commands as they travel: what a backend asks for, what a device is offered, what it reports, what everybody reads."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from rolltape.wire.common import Count, Metadata, Reason
from rolltape.wire.times import TimeInput, Timestamp

CommandType = Literal["start_recording", "stop_recording", "trigger_upload", "factory_reset"]
CreatableType = Literal["start_recording", "stop_recording", "trigger_upload"]
Status = Literal["pending", "delivered", "executed", "failed", "expired", "cancelled"]
Route = Literal["heartbeat", "channel", "poll", "relay"]
Evidence = Literal["offered", "relay", "device", "device_signed"]

DEFAULT_MAX_DURATION_SEC = 3600
DEFAULT_TTL_SECONDS = 300
RESET_TTL_SECONDS = 7 * 86400

IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=255)]
TtlSeconds = Annotated[int, Meta(ge=1, le=604_800)]


class StartParams(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Params of `start_recording`."""

    max_duration_sec: Annotated[int, Meta(ge=1, le=86_400)] = DEFAULT_MAX_DURATION_SEC
    upload_immediately: bool = True
    metadata: Metadata | None = None


class CreateCommand(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/devices/{id}/commands."""

    type: CreatableType
    params: dict[str, Any] | None = None
    idempotency_key: IdempotencyKey | None = None
    ttl_seconds: TtlSeconds = DEFAULT_TTL_SECONDS


class ResetDevice(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/devices/{id}/reset, and of unbind."""

    force: bool = False


class Delivery(Struct, kw_only=True, frozen=True):
    """How far the command has got, and on what word."""

    route: Route | None
    offers: Count
    last_offered_at: Timestamp | None
    next_contact_at: Timestamp | None
    evidence: Evidence | None


class Command(Struct, kw_only=True, frozen=True):
    """A command as it stands. `status` is the best evidence received so far, never a guess."""

    id: str
    device_id: str
    type: CommandType
    status: Status
    params: dict[str, Any]
    grant_token: str | None
    result: dict[str, Any] | None
    error: Reason | None
    expires_at: Timestamp
    delivered_at: Timestamp | None
    executed_at: Timestamp | None
    created_at: Timestamp
    reported_at: Timestamp | None
    may_still_run_until: Timestamp | None
    delivery: Delivery


class Offer(Struct, kw_only=True, frozen=True):
    """A command as a device is offered it. The grant is what counts: the rest is for convenience and unsigned."""

    id: str
    type: CommandType
    params: dict[str, Any]
    grant_token: str
    expires_at: Timestamp
    seq: int


class ReportError(Struct, kw_only=True, frozen=True):
    """Why the device could not do it."""

    code: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    message: Annotated[str, Meta(max_length=1000)] = ""


class Report(Struct, kw_only=True, frozen=True):
    """A device's word on how a command ended."""

    status: Literal["executed", "failed"]
    executed_at: TimeInput | None = None
    result: dict[str, Any] | None = None
    error: ReportError | None = None


class ReportItem(Report, kw_only=True, frozen=True):
    """A report inside a heartbeat: it also names its command."""

    id: str


class Go(Struct, kw_only=True, frozen=True):
    """The answer to an acknowledgement: the device may act."""

    go: bool
    status: Status


class Pending(Struct, kw_only=True, frozen=True):
    """What waits for a device: at most four offers."""

    commands: list[Offer]
    more: bool
    server_time: Timestamp
