"""A receipt: a device's word, signed with its own Ed25519 key, so that no relay can speak in its place.

It says which device, under which binding, says what of which command, and the SHA-256 of the body that it goes with:
the JSON object as it is sent, without `receipt`, in the canonical form of RFC 8785. `counter` grows with each receipt
of a binding. Two encodings: an envelope of wire/cose.py over
`{1: device, 3: iss, 7: jti?, -65539: [gen, counter, status, hash, recording]}` (in JSON as base64url; nulls at the end
are left out), or a compact JWS (RFC 7515) with `{"alg": "EdDSA"}` over
`{aud, device, gen, counter, status, hash?, jti?, recording_id?}`, the hash in base64url.
"""

import hashlib
from typing import Any, Final, Literal

import msgspec
import rfc8785

from rolltape.codes import Problem
from rolltape.wire import cbor, cose
from rolltape.wire.cwt import AUD, CTI, ISS, count, iss_bytes, iss_text, number
from rolltape.wire.ids import is_id, pack, unpack
from rolltape.wire.keys import Signer, Verifier, b64url, un_b64url
from rolltape.wire.values import check_values

Said = Literal["state", "delivered", "executed", "failed", "recorded"]
"""What a receipt is for: a heartbeat, an acknowledgement, a report (two of these), or anything about a recording."""
RECEIPT: Final = -65539
MAX_TEXT: Final = 2048
"""The longest receipt, in characters."""
_SAID: Final[tuple[Said, ...]] = ("state", "delivered", "executed", "failed", "recorded")
_FIELDS = 5


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a device signs. `aud` is the deployment's id, `hash` the body's, 32 bytes."""

    aud: str
    device: str
    gen: int
    counter: int
    status: Said
    hash: bytes | None = None
    jti: str | None = None
    recording_id: str | None = None


class _Jws(msgspec.Struct, frozen=True, kw_only=True):
    aud: str
    device: str
    gen: int
    counter: int
    status: Said
    hash: str | None = None
    jti: str | None = None
    recording_id: str | None = None


class _JwsHeader(msgspec.Struct, frozen=True):
    alg: str
    crit: Any = msgspec.UNSET


def body_hash(body: bytes) -> bytes:
    """The hash of a JSON object as a receipt names it. ValueError where it has no canonical form.

    Whole numbers beyond 2^53 - 1, either way, have none (RFC 8785, section 3.2.2.3), nor have NaN and the like.
    """
    try:
        value = msgspec.json.decode(body)
        check_values(value)
        if not isinstance(value, dict):
            raise ValueError("the body is no object")
        value.pop("receipt", None)
        return hashlib.sha256(rfc8785.dumps(value)).digest()
    except (Problem, rfc8785.CanonicalizationError, msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the body has no canonical form: {type(error).__name__}") from None


def sign(receipt: Receipt, signer: Signer) -> bytes:
    """The receipt as an envelope, made by the device's own key. ValueError for an `aud` or an id that is none."""
    said: dict[int, Any] = {ISS: pack("dev", receipt.device), AUD: iss_bytes(receipt.aud)}
    if receipt.jti is not None:
        said[CTI] = pack("cmd", receipt.jti)
    recording = None if receipt.recording_id is None else pack("rec", receipt.recording_id)
    facts = [receipt.gen, receipt.counter, _SAID.index(receipt.status), receipt.hash, recording]
    while facts[-1] is None:
        facts.pop()
    said[RECEIPT] = facts
    return cose.seal(cbor.encode(said), signer, with_kid=False)


def sign_jws(receipt: Receipt, signer: Signer) -> str:
    """The same receipt as a compact JWS."""
    facts = {name: value for name, value in msgspec.structs.asdict(receipt).items() if value is not None}
    if receipt.hash is not None:
        facts["hash"] = b64url(receipt.hash)
    header = b64url(b'{"alg":"EdDSA"}')
    message = f"{header}.{b64url(msgspec.json.encode(facts))}"
    return f"{message}.{b64url(signer.sign(message.encode('ascii')))}"


def read(text: str, key: Verifier) -> Receipt:
    """A receipt, in either encoding, that `key` signed. ValueError for any other."""
    if len(text) > MAX_TEXT:
        raise ValueError("the receipt is too long")
    try:
        return _read_jws(text, key) if "." in text else _read_cose(un_b64url(text), key)
    except (KeyError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        raise ValueError(f"not a receipt: {type(error).__name__}") from None


def _read_cose(data: bytes, key: Verifier) -> Receipt:
    envelope = cose.take_apart(data)
    if envelope.is_mac or not envelope.is_by(key):
        raise ValueError("the receipt is not signed with the device's key")
    said = cbor.decode(envelope.payload, cose.MAX_BYTES)
    if type(said) is not dict or type(said[RECEIPT]) is not list:
        raise ValueError("not a receipt")
    gen, counter, status, hash_, recording = (said[RECEIPT] + [None] * _FIELDS)[:_FIELDS]
    if not 0 <= number(status) < len(_SAID):
        raise ValueError("a status that is not known")
    return _checked(
        Receipt(
            aud=iss_text(said[AUD]),
            device=unpack("dev", said[ISS]),
            gen=number(gen),
            counter=number(counter),
            status=_SAID[status],
            hash=hash_,
            jti=unpack("cmd", said[CTI]) if CTI in said else None,
            recording_id=None if recording is None else unpack("rec", recording),
        )
    )


def _read_jws(text: str, key: Verifier) -> Receipt:
    parts = text.split(".")
    if len(parts) != 3:
        raise ValueError("not a compact JWS of three parts")
    header, payload, signature = (un_b64url(part) for part in parts)
    said_of = msgspec.json.decode(header, type=_JwsHeader)
    if said_of.alg != "EdDSA" or key.alg != "EdDSA" or said_of.crit is not msgspec.UNSET:
        raise ValueError("another algorithm than EdDSA, or something that must be understood")
    if not key.verifies(f"{parts[0]}.{parts[1]}".encode("ascii"), signature):
        raise ValueError("the receipt is not signed with the device's key")
    said = msgspec.json.decode(payload, type=_Jws)
    facts = msgspec.structs.asdict(said)
    return _checked(Receipt(**{**facts, "hash": None if said.hash is None else un_b64url(said.hash)}))


def _checked(receipt: Receipt) -> Receipt:
    iss_bytes(receipt.aud)
    if not is_id("dev", receipt.device):
        raise ValueError("a device that is none")
    if receipt.jti is not None and not is_id("cmd", receipt.jti):
        raise ValueError("a command that is none")
    if receipt.recording_id is not None and not is_id("rec", receipt.recording_id):
        raise ValueError("a recording that is none")
    if receipt.hash is not None and (type(receipt.hash) is not bytes or len(receipt.hash) != 32):
        raise ValueError("a hash that is not 32 bytes")
    count(receipt.gen)
    count(receipt.counter)
    return receipt
