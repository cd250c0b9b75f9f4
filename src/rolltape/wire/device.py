"""Devices and their bindings as they travel."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from rolltape.wire.common import Count, Metadata
from rolltape.wire.heartbeat import Connection, DeviceState
from rolltape.wire.keys import Alg
from rolltape.wire.times import Timestamp

DeviceStatus = Literal["unbound", "bound"]
SerialNumber = Annotated[str, Meta(min_length=1, max_length=128)]
Model = Annotated[str, Meta(max_length=128)]
DeviceName = Annotated[str, Meta(max_length=128)]
FirmwareVersion = Annotated[str, Meta(max_length=32)]
Settings = Annotated[
    dict[str, Any],
    Meta(description="Deep-merged; `heartbeat_sec` (10 to 3600, default 60) is the server's, the rest is yours"),
]


class RegisterDevice(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/devices. `device_type` is another name for `model`."""

    serial_number: SerialNumber
    model: Model | None = None
    device_type: Model | None = None
    name: DeviceName | None = None
    firmware_version: FirmwareVersion | None = None
    metadata: Metadata | None = None
    connection: Annotated[list[Connection], Meta(max_length=3)] | None = None
    grant_alg: Alg = "EdDSA"
    public_key: Annotated[str, Meta(min_length=43, max_length=43, pattern="^[A-Za-z0-9_-]{43}$")] | None = None


class UpdateDevice(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Body of PATCH /v1/devices/{id}: what is left out stays."""

    name: DeviceName | UnsetType | None = UNSET
    firmware_version: FirmwareVersion | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    settings: Settings | UnsetType = UNSET


class BindDevice(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/devices/{id}/bind."""

    end_user_id: Annotated[str, Meta(min_length=1, max_length=128)]
    pk_d: Annotated[str, Meta(min_length=128, max_length=128, pattern="^[0-9A-Fa-f]{128}$")] | None = None


class UnbindDevice(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/devices/{id}/unbind, which may be empty."""

    force: bool = False


class RecordingState(Struct, kw_only=True, frozen=True):
    """What the device last said of its own state."""

    device_state: DeviceState | None
    pending_recordings: Count | None
    flags: Count | None
    connection_type: list[Connection] | None


class Device(Struct, kw_only=True, frozen=True):
    """A recorder. What it said of itself is as of `last_heartbeat_at`."""

    id: str
    project_id: str
    binding_generation: Count
    serial_number: str
    model: str | None
    name: str | None
    firmware_version: str | None
    status: DeviceStatus
    end_user_id: str | None
    connection: list[Connection]
    online: bool
    battery_percent: int | None
    storage_used_mb: float | int | None
    storage_total_mb: float | int | None
    signal_strength_dbm: int | None
    last_heartbeat_at: Timestamp | None
    recording_state: RecordingState
    grant_alg: Alg
    public_key: str | None
    metadata: dict[str, Any]
    settings: dict[str, Any]
    created_at: Timestamp
    updated_at: Timestamp


class BoundDevice(Device, kw_only=True, frozen=True, omit_defaults=True):
    """The answer to bind: the device with what it needs to obey. The token and the secret are shown this once."""

    device_token: str
    grant_iss: str
    grant_keys: dict[str, Any] | None = None
    grant_kid: str | None = None
    grant_secret: str | None = None


class DeviceToken(Struct, kw_only=True, frozen=True):
    """A fresh token, shown this once. The old one works until this one is first used."""

    device_token: str


class RecordingEvidence(Struct, kw_only=True, frozen=True):
    """Whether the device records, on whose word and how old that word is. `active` is null when it isn't online."""

    active: bool | None
    recording_id: str | None
    started_at: Timestamp | None
    initiated_by: Literal["local", "remote"] | None
    as_of: Timestamp | None
    evidence: Literal["relay", "device", "device_signed"] | None


class DeviceStateAnswer(Struct, kw_only=True, frozen=True):
    """GET /v1/devices/{id}/state."""

    device_id: str
    binding_generation: Count
    online: bool
    recording: RecordingEvidence
    recording_state: RecordingState
    battery_percent: int | None
    storage_used_mb: float | int | None
    storage_total_mb: float | int | None
    last_heartbeat_at: Timestamp | None
    last_seen_by: Connection | None


class DeviceStats(Struct, kw_only=True, frozen=True):
    """GET /v1/devices/stats: low battery is under 15 %, storage full over 90 %."""

    project_id: str
    total_count: Count
    bound_count: Count
    online_count: Count
    recording_count: Count
    low_battery_count: Count
    storage_full_count: Count
    open_command_count: Count
