"""The heartbeat: one round trip that carries state, acknowledgements and reports up, and answers and offers down."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from rolltape.wire.command import Offer, Status
from rolltape.wire.common import Reason
from rolltape.wire.times import TimeInput, Timestamp

DeviceState = Literal["idle", "recording", "syncing", "uploading", "charging", "lowBattery", "storageFull", "error"]
Connection = Literal["wifi", "4g", "ble"]
Percent = Annotated[int, Meta(ge=0, le=100)]
Megabytes = Annotated[int, Meta(ge=0, le=10**12)] | Annotated[float, Meta(ge=0, le=10**12)]
Dbm = Annotated[int, Meta(ge=-200, le=100)]

MAX_ITEMS = 1000
"""The most acknowledgements, and the most reports, that one heartbeat carries."""
MAX_OFFERS = 4
"""The most offers in one answer."""


class RecordingNow(Struct, kw_only=True, frozen=True):
    """The recording that runs on the device at this moment.

    Without `initiated_by` it is as the server knows that recording, else `local`; `started_at` likewise.
    """

    recording_id: Annotated[str, Meta(min_length=1, max_length=128)]
    started_at: TimeInput | None = None
    initiated_by: Literal["local", "remote"] | None = None


class Heartbeat(Struct, kw_only=True, frozen=True):
    """Body of POST /v1/devices/{id or me}/heartbeat. All optional; a field left out says nothing about its value.

    `recording: null` says that nothing is being recorded. `acks` and `results` are read item by item, so that a wrong
    one fails alone.
    """

    battery_percent: Percent | None = None
    storage_used_mb: Megabytes | None = None
    storage_total_mb: Megabytes | None = None
    signal_strength_dbm: Dbm | None = None
    firmware_version: Annotated[str, Meta(max_length=32)] | None = None
    device_name: Annotated[str, Meta(max_length=64)] | None = None
    device_state: DeviceState | None = None
    recording: RecordingNow | UnsetType | None = UNSET
    pending_recordings: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    flags: Annotated[int, Meta(ge=0, le=255)] | None = None
    connection_type: Annotated[list[Connection], Meta(max_length=3)] | None = None
    grant_kids: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=32)] | None = None
    replay_state_lost: bool | None = None
    acks: Annotated[list[Raw], Meta(max_length=MAX_ITEMS)] | None = None
    results: Annotated[list[Raw], Meta(max_length=MAX_ITEMS)] | None = None


class AckAnswer(Struct, kw_only=True, frozen=True):
    """Go or no-go for one acknowledgement. `status` is null where the command isn't this device's."""

    id: str | None
    go: bool
    status: Status | None


class ResultAnswer(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What became of one report. `status` is null where the command isn't this device's."""

    id: str | None
    ok: bool
    status: Status | None
    error: Reason | None = None


class HeartbeatAnswer(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What the server has to say. `next_heartbeat_sec` is when it expects to hear from the device again.

    `device_id`, `project_id` and `grant_iss` tell a device that has only its token who it is, and whose grants to obey.
    """

    status: Literal["ok"]
    server_time: Timestamp
    next_heartbeat_sec: int
    binding_generation: int
    commands: list[Offer]
    more: bool
    acks: list[AckAnswer]
    results: list[ResultAnswer]
    grant_keys: dict[str, Any] | None = None
    seq_floor: int | None = None
    device_id: str | None = None
    grant_iss: str | None = None
    project_id: str | None = None
