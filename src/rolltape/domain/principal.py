"""Who is calling: an API key, or a device with its token."""

from dataclasses import dataclass

from rolltape.codes import Mode
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


Principal = KeyPrincipal | DevicePrincipal
