"""The facts that a store keeps of each thing, as plain records. Times are ms since the epoch; JSON is text."""

from typing import Literal

from msgspec import Struct

from rolltape.codes import Mode
from rolltape.wire.command import CommandType, Evidence, Route, Status
from rolltape.wire.keys import Alg


class CommandRow(Struct, frozen=True, gc=False):
    """A command. `offered_routes` has a bit for each route that has offered it (`ROUTE_BITS`).

    `relay_grants_until` is the greatest `exp` (ms) of the grants that relays were handed.
    """

    n: int
    id: str
    tenant_n: int
    device_id: str
    generation: int
    seq: int
    type: CommandType
    status: Status
    params: str
    result: str | None
    error_code: str | None
    error_message: str | None
    created_at: int
    expires_at: int
    delivered_at: int | None
    executed_at: int | None
    reported_at: int | None
    route: Route | None
    offers: int
    offered_routes: int
    last_offered_at: int | None
    evidence: Evidence | None
    relay_grants_until: int | None


ROUTE_BITS: dict[Route, int] = {"heartbeat": 1, "channel": 2, "poll": 4, "relay": 8}


class DeviceRow(Struct, frozen=True, gc=False):
    """A device with its binding and what it last said of itself."""

    n: int
    id: str
    tenant_n: int
    project_id: str
    serial_number: str
    model: str | None
    name: str | None
    firmware_version: str | None
    connection: str
    grant_alg: Alg
    public_key: str | None
    metadata: str
    settings: str
    heartbeat_sec: int
    generation: int
    end_user_id: str | None
    held_kids: str
    last_seq: int
    last_stop_seq: int
    created_at: int
    updated_at: int
    battery_percent: int | None
    storage_used_mb: float | int | None
    storage_total_mb: float | int | None
    signal_strength_dbm: int | None
    device_state: str | None
    pending_recordings: int | None
    flags: int | None
    connection_type: str | None
    last_heartbeat_at: int | None
    online_until: int
    next_contact_at: int | None
    last_seen_by: str | None
    rec_active: int | None
    rec_id: str | None
    rec_started_at: int | None
    rec_initiated_by: Literal["local", "remote"] | None
    rec_until: int | None
    rec_as_of: int | None
    rec_evidence: Evidence | None


class KeyRow(Struct, frozen=True, gc=False):
    """An API key without its secret."""

    n: int
    id: str
    tenant_n: int
    project_id: str
    mode: Mode
    name: str | None
    scopes: str
    created_at: int
    last_used_at: int | None
    revoked_at: int | None


class TokenRow(Struct, frozen=True, gc=False):
    """A device token, with the facts of its device that each call needs.

    `pending`: whether a command waits for the device, where the same look has told.
    """

    n: int
    tenant_n: int
    project_id: str
    mode: Mode
    device_id: str
    generation: int
    first_used_at: int | None
    replaced_at: int | None
    ended_at: int | None
    heartbeat_sec: int
    grant_alg: Alg
    held_kids: str
    pending: bool | None = None


class BoundRow(Struct, frozen=True, gc=False):
    """A device that is bound, with what its words and its offers need. `mqtt_until`: reached by a broker until then."""

    tenant_n: int
    project_id: str
    mode: Mode
    device_id: str
    generation: int
    heartbeat_sec: int
    grant_alg: Alg
    held_kids: str
    mqtt_until: int | None


class RelayTokenRow(Struct, frozen=True, gc=False):
    """A relay token. `device_ids` (JSON) are the only devices that it is for; None: all of the end user's."""

    n: int
    tenant_n: int
    project_id: str
    mode: Mode
    end_user_id: str
    device_ids: str | None
    expires_at: int


class RelayDeviceRow(Struct, frozen=True, gc=False):
    """A device that is bound to a relay's end user, and whether commands wait for it. `held_kids` is JSON."""

    id: str
    serial_number: str
    generation: int
    grant_alg: Alg
    has_key: bool
    held_kids: str
    commands_wait: bool


class ReachedDevice(Struct, frozen=True, gc=False):
    """A device as far as a relay reaches it.

    `generations`: the bindings to the relay's end user, newest first, that last or ended a short while ago. `bound`:
    the newest of them lasts.
    """

    id: str
    grant_alg: Alg
    public_key: str | None
    heartbeat_sec: int
    bound: bool
    held_kids: str
    last_stop_seq: int
    generations: tuple[int, ...]


class EndUserRow(Struct, frozen=True, gc=False):
    """An end user."""

    n: int
    id: str
    project_id: str
    external_id: str
    name: str | None
    email: str | None
    metadata: str
    created_at: int


class EventRow(Struct, frozen=True, gc=False):
    """An event. `data` is the object as JSON."""

    n: int
    id: str
    type: str
    previous_status: str | None
    created_at: int
    data: str


class SigningKeyRow(Struct, frozen=True, gc=False):
    """A key that signs grants; the private half is sealed under the master key."""

    kid: str
    public: bytes
    private_sealed: bytes
    created_at: int
