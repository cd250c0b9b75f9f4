"""CBOR and COSE put together by hand, right or wrong: every form that bytes on the air may have.

Nothing here leans on rolltape.wire.cbor, .cose or .cwt, so that the vectors judge those from outside.
"""

from collections.abc import Mapping
from typing import Any

from rolltape.testing.vector_world import SIGNER
from rolltape.wire.keys import Signer, un_b64url

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG = range(7)
_EXTRA = {1: 24, 2: 25, 4: 26, 8: 27}
FALSE, TRUE, NULL, UNDEFINED = b"\xf4", b"\xf5", b"\xf6", b"\xf7"
SIGN1, MAC0 = b"\xd2", b"\xd1"


def head(major: int, count: int, width: int = 0) -> bytes:
    """A head (RFC 8949, section 3): the shortest, or with its count in `width` bytes (1, 2, 4 or 8)."""
    if width == 0 and count < 24:
        return bytes([major << 5 | count])
    fit = width or next(size for size in _EXTRA if count < 1 << 8 * size)
    return bytes([major << 5 | _EXTRA[fit]]) + count.to_bytes(fit, "big")


def num(value: int, width: int = 0) -> bytes:
    """An integer."""
    return head(UNSIGNED, value, width) if value >= 0 else head(NEGATIVE, -1 - value, width)


def raw(data: bytes, width: int = 0) -> bytes:
    """A byte string."""
    return head(BYTES, len(data), width) + data


def text(value: str, width: int = 0) -> bytes:
    """A text string."""
    data = value.encode()
    return head(TEXT, len(data), width) + data


def array(*items: bytes, width: int = 0) -> bytes:
    """An array of items that are encoded already."""
    return head(ARRAY, len(items), width) + b"".join(items)


def pairs(*items: tuple[bytes, bytes], width: int = 0) -> bytes:
    """A map, in the order given."""
    return head(MAP, len(items), width) + b"".join(key + value for key, value in items)


def simple(value: Any) -> bytes:
    """A value of JSON, its maps in the order given; no fractions."""
    if isinstance(value, bool) or value is None:
        return {True: TRUE, False: FALSE, None: NULL}[value]
    if isinstance(value, int):
        return num(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bytes):
        return raw(value)
    if isinstance(value, Mapping):
        return pairs(*((simple(key), simple(item)) for key, item in value.items()))
    return array(*(simple(item) for item in value))


def protected_header(signer: Signer, *, kid: bytes | None = b"", alg: bytes = b"") -> bytes:
    """The protected header: of the signer's own kind, unless told otherwise; `kid` None leaves it out."""
    mac = signer.alg == "HS256"
    own = signer.kid.encode() if mac else un_b64url(signer.kid)
    said = [(num(1), alg or num(4 if mac else -8))]
    if kid is not None:
        said.append((num(4), raw(kid or own)))
    return pairs(*said)


def envelope(
    payload: bytes,
    signer: Signer = SIGNER,
    *,
    protected: bytes | None = None,
    unprotected: bytes = pairs(),
    tag: bytes | None = None,
    context: str | None = None,
    cut: int | None = None,
) -> bytes:
    """A COSE_Sign1 or COSE_Mac0 over `payload`, as the signer's kind is; a MAC is cut to 8 bytes.

    `context` is the first text of what is signed, where it isn't that kind's; `cut` the length of the signature.
    """
    mac = signer.alg == "HS256"
    header = protected_header(signer) if protected is None else protected
    signed = array(text(context or ("MAC0" if mac else "Signature1")), raw(header), raw(b""), raw(payload))
    signature = signer.sign(signed)[: cut if cut is not None else 8 if mac else 64]
    return (tag or (MAC0 if mac else SIGN1)) + array(raw(header), unprotected, raw(payload), raw(signature))
