"""What a recorder is told by bind's answer, so that it knows who it is with no server to ask."""

import re
from pathlib import Path
from typing import Any

import msgspec

from rolltape.wire.ids import is_id
from rolltape.wire.keys import verifiers_from_jwks

_ISS = re.compile(r"[0-9a-f]{16}")


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """The part of bind's answer that matters here. `public_key`: the device's own, as it is registered, or None."""

    id: str
    grant_iss: str
    binding_generation: int
    device_token: str | None = None
    grant_keys: dict[str, Any] | None = None
    grant_kid: str | None = None
    grant_secret: str | None = None
    public_key: str | None = None

    def __post_init__(self) -> None:
        if not is_id("dev", self.id) or not _ISS.fullmatch(self.grant_iss) or self.binding_generation < 0:
            raise ValueError("id, grant_iss or binding_generation is not one")
        if (self.grant_kid is None) != (self.grant_secret is None):
            raise ValueError("grant_kid and grant_secret go together")
        if self.grant_secret is None and not verifiers_from_jwks(self.grant_keys or {"keys": []}):
            raise ValueError("there is no key to check grants with")

    def __repr__(self) -> str:
        return f"Binding(id={self.id!r}, binding_generation={self.binding_generation!r})"

    @property
    def mark(self) -> str:
        """What tells this binding from another: the token, where there is one."""
        return self.device_token or f"{self.id} {self.binding_generation}"


def read_binding(path: Path) -> Binding:
    """Bind's answer, as JSON in a file. ValueError when it can't be used, and says what to do."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Binding)
    except (OSError, ValueError, msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not the answer of bind: {error}. Keep it with: devices bind … --json") from None
