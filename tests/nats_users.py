"""Users of a NATS server as NATS knows them: by a key, and by a JWT under an account under an operator."""

import base64
import binascii
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_KINDS = {"operator": 14 << 3, "account": 0, "user": 20 << 3}


@dataclass
class Nkey:
    """A key of that kind."""

    kind: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> str:
        """`O…`, `A…` or `U…`."""
        return _base32(bytes([_KINDS[self.kind]]) + self.key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """`SO…`, `SA…` or `SU…`."""
        kind = _KINDS[self.kind]
        return _base32(bytes([18 << 3 | kind >> 5, (kind & 31) << 3]) + self.key.private_bytes_raw())

    def vouches_for(self, other: "Nkey", **nats: Any) -> str:
        """A JWT of NATS's own kind."""
        claims = {"jti": "x", "iat": 1, "iss": self.public, "sub": other.public, "name": other.kind}
        claims["nats"] = {"type": other.kind, "version": 2, **nats}
        parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, claims]
        text = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_base64url(self.key.sign(text.encode()))}"


def private_file(path: Path, text: str) -> Path:
    """As nsc would leave it."""
    path.touch(0o600)
    path.write_text(text)
    return path


def operator_mode(folder: Path) -> tuple[str, Path]:
    """Configuration of a server that knows users by JWT alone, and the credentials of one of them."""
    operator, account, user = Nkey("operator"), Nkey("account"), Nkey("user")
    limits = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1}
    config = (
        f"operator: {operator.vouches_for(operator)}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {account.public}: {operator.vouches_for(account, limits=limits)} }}\n"
    )
    jwt = account.vouches_for(user, pub={}, sub={}, subs=-1, data=-1, payload=-1)
    text = (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\nNKEYs are secrets.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    return config, private_file(folder / "user.creds", text)


def _base32(packed: bytes) -> str:
    whole = packed + binascii.crc_hqx(packed, 0).to_bytes(2, "little")
    return base64.b32encode(whole).rstrip(b"=").decode()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
