"""The signed envelope of what travels over the air: COSE_Sign1 with EdDSA, COSE_Mac0 with HMAC 256/64 (RFC 9052).

`tag([protected, {}, payload, signature])`, where the tag is 18 for COSE_Sign1 and 17 for COSE_Mac0, and `protected`
holds `{1: alg}` or `{1: alg, 4: kid}`. There is no unprotected header and no external data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rolltape.wire import cbor
from rolltape.wire.keys import TAG_BYTES, Signer, Verifier, b64url, un_b64url

MAX_BYTES: Final = 1024
"""No envelope is longer; a longer one is refused unread."""
_SIGN1, _MAC0 = b"\xd2", b"\xd1"
_ALG, _KID = 1, 4
_EDDSA, _HMAC_64 = -8, 4


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope taken apart, not yet checked. `kid` is None where it names none."""

    is_mac: bool
    kid: str | None
    payload: bytes
    signature: bytes
    signed: bytes

    def is_by(self, key: Verifier) -> bool:
        """Whether `key` made it, with the algorithm that the key has: the envelope's own word on it must agree."""
        if self.is_mac:
            return key.verifies_tag(self.signed, self.signature)
        return key.alg == "EdDSA" and key.verifies(self.signed, self.signature)


def seal(payload: bytes, signer: Signer, *, with_kid: bool = True) -> bytes:
    """The envelope around `payload`. ValueError where `kid` can't be told in it."""
    is_mac = signer.alg == "HS256"
    header: dict[int, object] = {_ALG: _HMAC_64 if is_mac else _EDDSA}
    if with_kid:
        header[_KID] = _kid_bytes(signer.kid, is_mac)
    protected = cbor.encode(header)
    signature = signer.sign(_to_be_signed(is_mac, protected, payload))
    if is_mac:
        signature = signature[:TAG_BYTES]
    return (_MAC0 if is_mac else _SIGN1) + cbor.encode([protected, {}, payload, signature])


def take_apart(data: bytes) -> Envelope:
    """The parts of an envelope. ValueError for any other form."""
    if data[:1] not in (_SIGN1, _MAC0):
        raise ValueError("not a COSE_Sign1 or COSE_Mac0")
    is_mac = data[:1] == _MAC0
    parts = cbor.decode(data[1:], MAX_BYTES - 1)
    if type(parts) is not list:
        raise ValueError("not an array")
    protected, unprotected, payload, signature = parts  # ValueError for any other number of parts
    if type(unprotected) is not dict or unprotected:
        raise ValueError("an unprotected header that is not empty")
    if type(protected) is not bytes or type(payload) is not bytes or type(signature) is not bytes:
        raise ValueError("a part that is no byte string")
    kid = _kid_in(protected, is_mac)
    return Envelope(is_mac, kid, payload, signature, _to_be_signed(is_mac, protected, payload))


def opened(data: bytes, keys: Mapping[str, Verifier]) -> bytes:
    """The payload of an envelope that one of `keys` made. ValueError for any other."""
    envelope = take_apart(data)
    key = keys.get(envelope.kid) if envelope.kid is not None else None
    if key is None:
        raise ValueError("signed by a key that is not held here")
    if not envelope.is_by(key):
        raise ValueError("the signature is wrong")
    return envelope.payload


def _kid_in(protected: bytes, is_mac: bool) -> str | None:
    header = cbor.decode(protected, MAX_BYTES)
    if type(header) is not dict or not header.keys() <= {_ALG, _KID}:
        raise ValueError("a header that is not understood")
    if type(header.get(_ALG)) is not int or header[_ALG] != (_HMAC_64 if is_mac else _EDDSA):
        raise ValueError("another algorithm than the envelope's")
    if _KID not in header:
        return None
    kid = header[_KID]
    if type(kid) is not bytes:
        raise ValueError("a kid that is no byte string")
    return _kid_text(kid, is_mac)


def _to_be_signed(is_mac: bool, protected: bytes, payload: bytes) -> bytes:
    """Sig_structure and MAC_structure (RFC 9052, sections 4.4 and 6.3)."""
    return cbor.encode(["MAC0" if is_mac else "Signature1", protected, b"", payload])


def _kid_bytes(kid: str, is_mac: bool) -> bytes:
    """A public key's id is base64url of 12 bytes, which travel as they are; a secret's id is text."""
    return kid.encode("ascii") if is_mac else un_b64url(kid)


def _kid_text(kid: bytes, is_mac: bool) -> str:
    return kid.decode("ascii") if is_mac else b64url(kid)  # UnicodeDecodeError is a ValueError
