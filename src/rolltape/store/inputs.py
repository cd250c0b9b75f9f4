"""What the service hands to a store, and what it gets back, as plain records. Times are ms; JSON is text."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from rolltape.domain.lifecycle import Word
from rolltape.domain.rows import CommandRow, DeviceRow
from rolltape.wire.command import CommandType, Evidence, Route
from rolltape.wire.keys import Alg

IDEMPOTENCY_KEPT_MS = 30 * 86_400_000
TOKEN_STORY_MS = 8 * 86_400_000
"""How long a token of an ended binding may still finish its story."""


class NewCommand(Struct, frozen=True, gc=False):
    """A command to be created. `params` is JSON, `request_hash` tells two requests with one key apart."""

    id: str
    tenant_n: int
    device_id: str
    type: CommandType
    params: str
    expires_at: int
    idempotency_key: str | None
    request_hash: bytes


class DeviceFacts(Struct, frozen=True, gc=False):
    """What minting a grant, and telling of a command, takes to know of its device. `held_kids` is JSON."""

    generation: int
    bound: bool
    grant_alg: Alg
    held_kids: str
    next_contact_at: int | None


class Created(Struct, frozen=True, gc=False):
    """The command; `replayed` when it was there before. `closed` are the commands that the creation closed."""

    command: CommandRow
    device: DeviceFacts
    replayed: bool
    closed: tuple[str, ...] = ()


class IncomingReport(Struct, frozen=True, gc=False):
    """A report as the store takes it. `executed_at` is on the device's clock, None when it gave none.

    `route`: by which it came, None where that says nothing of how the command reached the device.
    """

    word: Word
    error_message: str | None
    executed_at: int | None
    recording_id: str | None
    recording_started_at: int | None
    route: Route | None = None


class Reported(Struct, frozen=True, gc=False):
    """What became of a report. `outcome` says whether it was accepted; a conflict leaves the first word.

    `unbound`: it ended the binding, and with it the commands in `closed`.
    """

    command: CommandRow
    outcome: Literal["accepted", "conflict"]
    unbound: bool = False
    closed: tuple[str, ...] = ()


class Closed(Struct, frozen=True, gc=False):
    """A device after an unbind, reset or delete, with the commands that this closed."""

    device: DeviceRow
    closed: tuple[str, ...]


class NewKey(Struct, frozen=True, gc=False):
    """An API key to be written: by its hash alone. `scopes` is JSON."""

    id: str
    tenant_n: int
    hash: bytes
    name: str | None
    scopes: str


class NewEndUser(Struct, frozen=True, gc=False):
    """An end user to be written. `metadata` is JSON."""

    id: str
    tenant_n: int
    external_id: str
    name: str | None
    email: str | None
    metadata: str


class StateDelta(Struct, gc=False):
    """What a device said of itself since the last batch was written. None: it said nothing of that.

    `online_until` is 0 where a backend spoke for it: that says nothing of its being there. `mqtt_until`: until when it
    counts as reached by the MQTT broker, where it spoke by way of that.
    """

    tenant_n: int
    online_until: int
    battery_percent: int | None = None
    storage_used_mb: float | int | None = None
    storage_total_mb: float | int | None = None
    signal_strength_dbm: int | None = None
    device_name: str | None = None
    firmware_version: str | None = None
    device_state: str | None = None
    pending_recordings: int | None = None
    flags: int | None = None
    connection_type: str | None = None
    last_heartbeat_at: int | None = None
    next_contact_at: int | None = None
    last_seen_by: str | None = None
    mqtt_until: int | None = None
    rec_said: bool = False
    rec_id: str | None = None
    rec_started_at: int | None = None
    rec_initiated_by: str | None = None
    rec_as_of: int | None = None
    rec_evidence: Evidence | None = None
    seen_at: int = 0


class Position(Struct, frozen=True, gc=False):
    """Where a list goes on: rows below `n`, at most `limit`."""

    below: int
    limit: int


class NewDevice(Struct, frozen=True, gc=False):
    """A device to be registered. JSON fields are text."""

    id: str
    tenant_n: int
    serial_number: str
    model: str | None
    name: str | None
    firmware_version: str | None
    connection: str
    grant_alg: Alg
    public_key: str | None
    metadata: str
    heartbeat_sec: int


class DeviceFilter(Struct, frozen=True, gc=False):
    """What a list of devices is narrowed to; None: not by this."""

    status: str | None = None
    end_user_id: str | None = None
    online: bool | None = None
    serial_number: str | None = None


class DeviceChange(Struct, frozen=True, gc=False):
    """The new values of a change; what stays is given as it was."""

    name: str | None
    firmware_version: str | None
    metadata: str
    settings: str
    heartbeat_sec: int


ChangeDevice = Callable[[DeviceRow, str | None], DeviceChange]
"""From the device as it is, and the name that the backend gave it, to what it shall be. Pure; may raise Problem."""

FIRST = 2**62
"""A position above every row: the beginning of a list that goes newest first."""
