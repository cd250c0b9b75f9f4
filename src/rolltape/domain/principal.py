"""Who is calling: an API key, a device with its token, or a relay; and for which device a relay speaks."""

from msgspec import Struct

from rolltape.codes import Mode
from rolltape.wire.command import Evidence
from rolltape.wire.keys import Alg


class Tenant(Struct, frozen=True, gc=False):
    """One project in one mode. Test and live data never meet: every row belongs to one tenant."""

    n: int
    project_id: str
    mode: Mode


class KeyPrincipal(Struct, frozen=True, gc=False):
    """A customer's backend."""

    tenant: Tenant
    key_id: str
    scopes: frozenset[str]


class DevicePrincipal(Struct, frozen=True, gc=False):
    """A device, by a token of one binding.

    `ended` is set when that binding is over (unbind, delete, reset): the token then only finishes its story.
    `nothing_waits`: no command did when its token was looked up for this very call; never kept for another one.
    """

    tenant: Tenant
    device_id: str
    generation: int
    token_n: int
    ended: bool
    heartbeat_sec: int = 60
    grant_alg: Alg = "EdDSA"
    held_kids: tuple[str, ...] = ()
    nothing_waits: bool = False


class RelayPrincipal(Struct, frozen=True, gc=False):
    """A phone app or a gateway, by a token for one end user's devices, or for some of them (`device_ids`)."""

    tenant: Tenant
    token_n: int
    end_user_id: str
    device_ids: frozenset[str] | None
    expires_at: int


class RelayedDevice(Struct, frozen=True, gc=False):
    """A device for which a relay speaks, in one call, on the evidence that it brought.

    `generation` is the binding that it is about: `ended` when that is over. `generations` are all that this relay may
    still speak of, newest first.
    """

    tenant: Tenant
    device_id: str
    generation: int
    generations: tuple[int, ...]
    ended: bool
    grant_alg: Alg
    held_kids: tuple[str, ...]
    public_key: str | None
    heartbeat_sec: int
    last_stop_seq: int
    evidence: Evidence = "relay"


Principal = KeyPrincipal | DevicePrincipal | RelayPrincipal
"""Who holds the credential of a call."""
Direct = KeyPrincipal | DevicePrincipal
"""Who calls on the backend's or the device's plane."""
Speaker = KeyPrincipal | DevicePrincipal | RelayedDevice
"""Who says something of one device: a backend, the device itself, or a relay on its behalf."""
