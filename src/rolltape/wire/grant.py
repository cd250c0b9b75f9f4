"""The grant: a signed claim that a device may obey one command. Both sides reach one answer, so both use this file.

A grant is a JSON Web Token (RFC 7519) in compact form (RFC 7515), signed with EdDSA over Ed25519 (RFC 8037) or with
HS256 (RFC 7518). `sign` makes one. A device checks it in two steps, with no network: `authenticate` (is it ours, whole,
for me, under this binding?) and `judge` (may I obey it now?). docs/grants.md tells the same to firmware writers.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rolltape.codes import Failure
from rolltape.wire.replay import ReplayRecord

Alg = Literal["EdDSA", "HS256"]
MAX_TOKEN_BYTES = 1024
"""A grant is never longer; a device refuses a longer one unread."""
EARLY_LEEWAY_SEC = 30
"""A grant is good from `nbf` less this many seconds, for clocks that run a little behind."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a grant says. Times are whole seconds since the epoch; `params` is without metadata."""

    iss: str
    aud: str
    jti: str
    seq: int
    gen: int
    iat: int
    nbf: int
    exp: int
    type: str
    params: dict[str, Any]


class _Header(msgspec.Struct, frozen=True):
    alg: str
    typ: str
    kid: str


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


def b64url(data: bytes) -> str:
    """Base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


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
            public = un_b64url(str(key.get("x")))
            found[str(key.get("kid"))] = Ed25519Verifier(Ed25519PublicKey.from_public_bytes(public))
    return found


def signing_input(claims: Claims, signer: Signer) -> bytes:
    """The bytes that are signed: header and claims, each in base64url."""
    header = f'{{"alg":"{signer.alg}","typ":"JWT","kid":"{signer.kid}"}}'
    return f"{b64url(header.encode())}.{b64url(msgspec.json.encode(claims))}".encode("ascii")


def sign(claims: Claims, signer: Signer) -> str:
    """The grant token. ValueError when it would be over MAX_TOKEN_BYTES."""
    message = signing_input(claims, signer)
    token = f"{message.decode('ascii')}.{b64url(signer.sign(message))}"
    if len(token) > MAX_TOKEN_BYTES:
        raise ValueError(f"the grant would have {len(token)} bytes, more than {MAX_TOKEN_BYTES}: make params smaller")
    return token


class GrantRefused(Exception):
    """A grant that the device doesn't obey. `failure` is what it reports."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message


_decode_header = msgspec.json.Decoder(_Header).decode
_decode_claims = msgspec.json.Decoder(Claims).decode


def _invalid(message: str) -> GrantRefused:
    return GrantRefused(Failure.GRANT_INVALID, message)


def _parts(token: str) -> tuple[bytes, bytes, bytes, bytes]:
    """Signing input, header, claims, signature."""
    if len(token) > MAX_TOKEN_BYTES:
        raise _invalid("the grant is too long")
    parts = token.split(".")
    if len(parts) != 3:
        raise _invalid("the grant is not a compact JWT of three parts")
    try:
        header, claims, signature = (un_b64url(part) for part in parts)
    except ValueError:
        raise _invalid("the grant is not base64url") from None
    return f"{parts[0]}.{parts[1]}".encode("ascii"), header, claims, signature


def authenticate(token: str, keys: Mapping[str, Verifier], *, iss: str, aud: str, gen: int) -> Claims:
    """The claims of a grant that is ours, whole, for this device and of this binding.

    Raises GrantRefused (`grant_invalid`) for a wrong form, key, algorithm, signature, `iss`, `aud` or `gen`.
    """
    message, header, claims_bytes, signature = _parts(token)
    if not _key_of(header, keys).verifies(message, signature):
        raise _invalid("the signature is wrong")
    try:
        claims = _decode_claims(claims_bytes)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _invalid("the grant's claims can't be read") from None
    if claims.iss != iss:
        raise _invalid("the grant is another deployment's")
    if claims.aud != aud:
        raise _invalid("the grant is for another device")
    if claims.gen != gen:
        raise _invalid("the grant is of another binding")
    return claims


def _key_of(header_bytes: bytes, keys: Mapping[str, Verifier]) -> Verifier:
    try:
        header = _decode_header(header_bytes)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _invalid("the grant's header can't be read") from None
    key = keys.get(header.kid)
    if key is None:
        raise _invalid("the grant was signed by a key that this device does not hold")
    if header.alg != key.alg or header.typ != "JWT":
        raise _invalid("the grant names another algorithm than its key has")
    return key


def check_time(claims: Claims, now_ms: int) -> None:
    """Raises GrantRefused (`grant_expired`) before `nbf` less 30 s and at or after `exp`, which has no leeway."""
    if now_ms < (claims.nbf - EARLY_LEEWAY_SEC) * 1000:
        raise GrantRefused(Failure.GRANT_EXPIRED, "the grant is not good yet")
    if now_ms >= claims.exp * 1000:
        raise GrantRefused(Failure.GRANT_EXPIRED, "the grant's time is over")


def check_replay(claims: Claims, replay: ReplayRecord) -> None:
    """Raises GrantRefused: `grant_replayed` where `seq` may have been used, `superseded` for a start below a stop."""
    if replay.used(claims.seq):
        raise GrantRefused(Failure.GRANT_REPLAYED, "this grant, or one as old, was used already")
    if claims.type == "start_recording" and claims.seq < replay.highest_stop:
        raise GrantRefused(Failure.SUPERSEDED, "a later stop has been seen")


def judge(claims: Claims, *, now_ms: int | None, replay: ReplayRecord, recording_since_seq: int | None) -> None:
    """Whether an authentic grant may be obeyed now; returns if so.

    `now_ms` is trusted time, None when there has been none since power-up. `recording_since_seq` is None when idle,
    else the `seq` of the start that runs, or, for a recording begun by hand, the highest `seq` known when it began.
    Raises GrantRefused: `grant_replayed`, `superseded`, `clock_unknown` or `grant_expired`.
    """
    check_replay(claims, replay)
    if claims.type == "stop_recording" and recording_since_seq is not None:
        if claims.seq < recording_since_seq:
            raise GrantRefused(Failure.SUPERSEDED, "the recording that runs began after this stop was made")
        return  # an authentic newer stop is obeyed whatever the clock says
    if now_ms is not None:
        check_time(claims, now_ms)
    elif claims.type == "start_recording":
        raise GrantRefused(Failure.CLOCK_UNKNOWN, "no trusted time since power-up, so no start")
