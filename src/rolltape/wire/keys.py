"""The keys that sign and check grants, answers and receipts: a deployment's, a device's own, and shared secrets.

Ed25519 is RFC 8032, its JSON form RFC 8037; HS256 is HMAC-SHA256 (RFC 7518), and on the air its leftmost 64 bits
(HMAC 256/64, RFC 9053, section 3.1).
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Alg = Literal["EdDSA", "HS256"]
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
TAG_BYTES = 8
"""How much of an HMAC-SHA256 travels in a COSE_Mac0."""


class Signer(Protocol):
    """A key that signs grants."""

    @property
    def kid(self) -> str: ...
    @property
    def alg(self) -> Alg: ...
    def sign(self, message: bytes) -> bytes: ...


class Verifier(Protocol):
    """A key that a device holds. Its algorithm is its own, never the header's."""

    @property
    def alg(self) -> Alg: ...
    def verifies(self, message: bytes, signature: bytes) -> bool: ...
    def verifies_tag(self, message: bytes, tag: bytes) -> bool:
        """Whether `tag` is the HMAC 256/64 of the message; never, for a public key."""
        ...


@dataclass(frozen=True, slots=True)
class Ed25519Signer:
    """Signs with a deployment's private key."""

    kid: str
    key: Ed25519PrivateKey
    alg: Literal["EdDSA"] = "EdDSA"

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)


@dataclass(frozen=True, slots=True)
class Ed25519Verifier:
    """Checks with a deployment's public key."""

    key: Ed25519PublicKey
    alg: Literal["EdDSA"] = "EdDSA"

    def verifies(self, message: bytes, signature: bytes) -> bool:
        try:
            self.key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def verifies_tag(self, message: bytes, tag: bytes) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class HmacKey:
    """Signs and checks with a secret that one device shares with the server."""

    kid: str
    secret: bytes
    alg: Literal["HS256"] = "HS256"

    def __repr__(self) -> str:
        return f"HmacKey(kid={self.kid!r})"

    def sign(self, message: bytes) -> bytes:
        return hmac.digest(self.secret, message, "sha256")

    def verifies(self, message: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(self.sign(message), signature)

    def verifies_tag(self, message: bytes, tag: bytes) -> bool:
        return hmac.compare_digest(self.sign(message)[:TAG_BYTES], tag)


def b64url(data: bytes) -> str:
    """Base64url without padding (RFC 4648, section 5)."""
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE).rstrip(b"=").decode("ascii")


def un_b64url(text: str) -> bytes:
    """The bytes behind unpadded base64url. ValueError for anything but the one canonical form."""
    try:
        raw = text.encode("ascii")
        data = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("not base64url") from error
    if b64url(data) != text:
        raise ValueError("not canonical base64url")
    return data


def ed25519_kid(public: bytes) -> str:
    """A key's id: the first 16 characters of its JWK thumbprint (RFC 7638)."""
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{b64url(public)}"}}'
    return b64url(hashlib.sha256(canonical.encode()).digest())[:16]


def jwk(public: bytes) -> dict[str, str]:
    """An Ed25519 public key as a JWK (RFC 8037, section 2)."""
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": b64url(public),
        "kid": ed25519_kid(public),
        "alg": "EdDSA",
        "use": "sig",
    }


def verifiers_from_jwks(jwks: Mapping[str, Any]) -> dict[str, Verifier]:
    """The Ed25519 keys of a JWKS by `kid`; keys of other kinds are passed over. ValueError for one that is broken."""
    found: dict[str, Verifier] = {}
    keys = jwks.get("keys")
    if not isinstance(keys, list):
        raise ValueError("a JWKS has a list `keys`")
    for key in keys:
        if isinstance(key, dict) and key.get("kty") == "OKP" and key.get("crv") == "Ed25519":
            kid, x = key.get("kid"), key.get("x")
            if not isinstance(kid, str) or not isinstance(x, str):
                raise ValueError("an Ed25519 key has `kid` and `x`, both text")
            found[kid] = Ed25519Verifier(Ed25519PublicKey.from_public_bytes(un_b64url(x)))
    return found
