"""The grant: a signed claim that a device may obey one command. Both sides reach one answer, so both use this file.

A grant is a JSON Web Token (RFC 7519) in compact form (RFC 7515), signed with EdDSA over Ed25519 (RFC 8037) or with
HS256 (RFC 7518). `sign` makes one. A device checks it in two steps, with no network: `authenticate` (is it ours, whole,
for me, under this binding?) and `judge` (may I obey it now?). docs/grants.md tells the same to firmware writers.
"""

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from rolltape.codes import Failure
from rolltape.wire import cwt
from rolltape.wire.claims import Claims, GrantRefused, invalid
from rolltape.wire.ids import is_id
from rolltape.wire.keys import Signer, Verifier, b64url, un_b64url
from rolltape.wire.replay import ReplayRecord

MAX_TOKEN_BYTES = 1024
"""A grant is never longer; a device refuses a longer one unread."""
EARLY_LEEWAY_SEC = 30
"""A grant is good from `nbf` less this many seconds, for clocks that run a little behind."""


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: str
    typ: str
    kid: str


_encode_claims = msgspec.json.Encoder().encode


def signing_input(claims: Claims, signer: Signer) -> bytes:
    """The bytes that are signed: header and claims, each in base64url."""
    return f"{_header(signer.alg, signer.kid)}.{b64url(_encode_claims(claims))}".encode("ascii")


@lru_cache(maxsize=256)
def _header(alg: str, kid: str) -> str:
    return b64url(f'{{"alg":"{alg}","typ":"JWT","kid":"{kid}"}}'.encode())


def sign(claims: Claims, signer: Signer) -> str:
    """The grant token. ValueError when it would be over MAX_TOKEN_BYTES."""
    message = signing_input(claims, signer)
    token = f"{message.decode('ascii')}.{b64url(signer.sign(message))}"
    if len(token) > MAX_TOKEN_BYTES:
        raise ValueError(f"the grant would have {len(token)} bytes, more than {MAX_TOKEN_BYTES}: make params smaller")
    return token


_decode_header = msgspec.json.Decoder(_Header).decode
_decode_claims = msgspec.json.Decoder(Claims).decode


def _parts(token: str) -> tuple[bytes, bytes, bytes, bytes]:
    """Signing input, header, claims, signature."""
    if len(token) > MAX_TOKEN_BYTES:
        raise invalid("the grant is too long")
    parts = token.split(".")
    if len(parts) != 3:
        raise invalid("the grant is not a compact JWT of three parts")
    try:
        header, claims, signature = (un_b64url(part) for part in parts)
    except ValueError:
        raise invalid("the grant is not base64url") from None
    return f"{parts[0]}.{parts[1]}".encode("ascii"), header, claims, signature


def authenticate(grant: str | bytes, keys: Mapping[str, Verifier], *, iss: str, aud: str, gen: int) -> Claims:
    """The claims of a grant, a JWT or (bytes) a CWT, that is ours, whole, for this device and of this binding.

    Raises GrantRefused (`grant_invalid`) for a wrong form, key, algorithm, signature, `iss`, `aud` or `gen`, and for
    a `jti` that is no command's id or a `seq` outside 1 to 2^63 - 1.
    """
    claims = _read_jwt(grant, keys) if isinstance(grant, str) else cwt.read(grant, keys)
    if claims.iss != iss:
        raise invalid("the grant is another deployment's")
    if claims.aud != aud:
        raise invalid("the grant is for another device")
    if claims.gen != gen:
        raise invalid("the grant is of another binding")
    if not is_id("cmd", claims.jti):
        raise invalid("the grant names no command")
    if not 0 < claims.seq < 2**63:
        raise invalid("the grant's number is outside 1 to 2^63 - 1")
    return claims


def _read_jwt(token: str, keys: Mapping[str, Verifier]) -> Claims:
    message, header, claims_bytes, signature = _parts(token)
    if not _key_of(header, keys).verifies(message, signature):
        raise invalid("the signature is wrong")
    try:
        return _decode_claims(claims_bytes)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("the grant's claims can't be read") from None


def _key_of(header_bytes: bytes, keys: Mapping[str, Verifier]) -> Verifier:
    try:
        header = _decode_header(header_bytes)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("the grant's header can't be read") from None
    key = keys.get(header.kid)
    if key is None:
        raise invalid("the grant was signed by a key that this device does not hold")
    if header.alg != key.alg or header.typ != "JWT":
        raise invalid("the grant names another algorithm than its key has")
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
