"""Who is calling: an API key, a device with its token, or a relay; and for which device a relay speaks."""

from dataclasses import dataclass

from rolltape.codes import Mode
from rolltape.wire.command import Evidence
from rolltape.wire.keys import Alg


@dataclass(frozen=True, slots=True)
class Tenant:
    """One project in one mode. Test and live data never meet: every row belongs to one tenant."""

    n: int
    project_id: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class KeyPrincipal:
    """A customer's backend."""

    tenant: Tenant
    key_id: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class DevicePrincipal:
    """A device, by a token of one binding.

    `ended` is set when that binding is over (unbind, delete, reset): the token then only finishes its story.
    """

    tenant: Tenant
    device_id: str
    generation: int
    token_n: int
    ended: bool
    heartbeat_sec: int = 60
    grant_alg: Alg = "EdDSA"
    held_kids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RelayPrincipal:
    """A phone app or a gateway, by a token for one end user's devices, or for some of them (`device_ids`)."""

    tenant: Tenant
    token_n: int
    end_user_id: str
    device_ids: frozenset[str] | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class RelayedDevice:
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
