"""The grants of the vectors in their compact form: each way in which an envelope on the air can be wrong."""

from collections.abc import Iterator
from typing import Any

from rolltape.testing import cwt_claim_vectors
from rolltape.testing.cbor_by_hand import MAC0, NULL, SIGN1, array, num, pairs, protected_header, raw, simple, text
from rolltape.testing.cose_layout import layout
from rolltape.testing.cwt_making import BAD, GOOD, GOOD_MAC, command, cwt, facts, payload, with_claims
from rolltape.testing.vector_world import (
    HMAC,
    KID,
    KID_BYTES,
    LONG_HMAC,
    PUBLIC,
    SECRET,
    SEED,
    SIGNER,
    STRANGER,
    Vector,
    vector,
)
from rolltape.wire.keys import HmacKey, b64url, un_b64url


def forms() -> Iterator[Vector]:
    yield vector("a good grant", "ok", GOOD)
    yield vector("no grant at all", BAD, b"")
    yield vector("the tag alone", BAD, SIGN1)
    yield vector("all but the last byte", BAD, GOOD[:-1])
    yield vector("a byte behind", BAD, GOOD + b"\x00")
    yield vector("the grant twice", BAD, GOOD + GOOD)
    yield vector("no tag", BAD, GOOD[1:])
    yield vector("the tag in two bytes", BAD, b"\xd8\x12" + GOOD[1:])
    yield vector("another tag", BAD, b"\xd0" + GOOD[1:])
    yield vector("inside the tag of a CWT", BAD, b"\xd8\x3d" + GOOD)
    yield vector("the tag twice", BAD, SIGN1 + GOOD)
    longest, too_long = _of_length(1024), _of_length(1025)
    yield vector("exactly as long as allowed", "ok", longest)
    yield vector("one byte too long", BAD, too_long)
    parts = (raw(protected_header(SIGNER)), pairs(), raw(payload(facts())), raw(GOOD[-64:]))
    yield vector("three parts", BAD, SIGN1 + array(*parts[:3]))
    yield vector("five parts", BAD, SIGN1 + array(*parts, NULL))
    yield vector("a map in place of the four parts", BAD, SIGN1 + pairs(*zip(parts[::2], parts[1::2], strict=True)))
    yield vector("a number in place of the four parts", BAD, SIGN1 + num(4))
    yield vector("a text in place of the four parts", BAD, SIGN1 + text("four"))
    yield vector("no payload", BAD, SIGN1 + array(parts[0], parts[1], NULL, parts[3]))
    yield vector("a payload that is text", BAD, SIGN1 + array(parts[0], parts[1], text("x"), parts[3]))
    yield vector("a payload that is not wrapped", BAD, SIGN1 + array(parts[0], parts[1], payload(facts()), parts[3]))
    yield vector("a signature that is null", BAD, SIGN1 + array(*parts[:3], NULL))
    yield vector("a header that is not wrapped", BAD, SIGN1 + array(protected_header(SIGNER), *parts[1:]))


def _of_length(length: int) -> bytes:
    filler = length - len(with_claims(command=command(params=simple({"x": "x" * 300})))) + 300
    return with_claims(command=command(params=simple({"x": "x" * filler})))


def signers() -> Iterator[Vector]:
    yield vector("a MAC by the shared secret", "ok", GOOD_MAC, keys="hs256")
    yield vector("a MAC by another secret", BAD, cwt(signer=HmacKey("hs-3", SEED)), keys="hs256")
    yield vector("a MAC with the public key as its secret", BAD, cwt(signer=HmacKey(KID, PUBLIC)))
    for name, kid in (("in bytes", KID_BYTES), ("as text", KID.encode())):
        mac = HmacKey(KID, PUBLIC)
        forged = cwt(signer=mac, protected=protected_header(mac, kid=kid))
        yield vector(f"a MAC with the public key as its secret, kid {name}", BAD, forged)
    secret_text = HmacKey("hs-3", b64url(SECRET).encode())
    yield vector("a MAC with the secret as text", BAD, cwt(signer=secret_text), keys="hs256")
    yield vector("a signature by a stranger under our kid", BAD, cwt(signer=STRANGER))
    yield vector("a device that holds no key", BAD, GOOD, keys="none")
    yield vector("a grant in EdDSA for a device with a secret", BAD, GOOD, keys="hs256")


def headers() -> Iterator[Vector]:
    def under(name: str, protected: bytes, **device: Any) -> Vector:
        return vector(name, BAD, cwt(protected=protected), **device)

    yield under("alg none", pairs((num(1), num(0)), (num(4), raw(KID_BYTES))))
    yield under("alg null", pairs((num(1), NULL), (num(4), raw(KID_BYTES))))
    yield under("no alg", pairs((num(4), raw(KID_BYTES))))
    yield under("alg as text", protected_header(SIGNER, alg=text("EdDSA")))
    yield under("alg as a fraction", protected_header(SIGNER, alg=b"\xf9\xc8\x00"))
    yield under("alg of ES256", protected_header(SIGNER, alg=num(-7)))
    yield under("alg of Ed25519 by its own number", protected_header(SIGNER, alg=num(-19)))
    yield under("a signature that says HMAC", protected_header(SIGNER, alg=num(4)))
    yield under("no kid", protected_header(SIGNER, kid=None))
    yield under("kid null", pairs((num(1), num(-8)), (num(4), NULL)))
    yield under("kid as text", pairs((num(1), num(-8)), (num(4), text(KID))))
    yield under("kid empty", pairs((num(1), num(-8)), (num(4), raw(b""))))
    yield under("a kid that the device does not hold", protected_header(SIGNER, kid=bytes(12)))
    yield under("a kid cut short", protected_header(SIGNER, kid=KID_BYTES[:11]))
    yield under("a kid with a byte behind", protected_header(SIGNER, kid=KID_BYTES + b"\x00"))
    yield under("the kid of the other key", protected_header(SIGNER, kid=b"hs-3"), keys="both")
    yield under("a protected header that is empty", b"")
    yield under("a protected header that is an empty map", pairs())
    yield under("a protected header that is an array", array(num(1), num(-8)))
    yield under("a protected header that is no CBOR", b"\xff")


def unknown_headers() -> Iterator[Vector]:
    def under(name: str, *said: tuple[bytes, bytes]) -> Vector:
        return vector(name, BAD, cwt(protected=pairs(*said)))

    alg, kid = (num(1), num(-8)), (num(4), raw(KID_BYTES))
    yield under("a header that nobody knows", alg, (num(3), num(61)), kid)
    yield under("a header that names what must be understood", alg, (num(2), array(num(3))), kid)
    yield under("a header's key as text", alg, kid, (text("alg"), num(-8)))


def unprotected() -> Iterator[Vector]:
    yield vector("an unprotected header that is not empty", BAD, cwt(unprotected=pairs((num(4), raw(KID_BYTES)))))
    yield vector("an unprotected header that nobody knows", BAD, cwt(unprotected=pairs((num(99), num(1)))))
    yield vector("an unprotected header that is an array", BAD, cwt(unprotected=array()))
    yield vector("an unprotected header that is null", BAD, cwt(unprotected=NULL))
    moved = cwt(protected=pairs((num(1), num(-8))), unprotected=pairs((num(4), raw(KID_BYTES))))
    yield vector("the kid in the unprotected header", BAD, moved)
    all_moved = cwt(protected=b"", unprotected=pairs((num(1), num(-8)), (num(4), raw(KID_BYTES))))
    yield vector("alg and kid in the unprotected header", BAD, all_moved)


def macs() -> Iterator[Vector]:
    def mac(name: str, **form: Any) -> Vector:
        return vector(name, BAD, cwt(signer=HMAC, **form), keys="hs256")

    yield vector("a COSE_Sign1 tagged as COSE_Mac0", BAD, MAC0 + GOOD[1:])
    yield vector("a COSE_Mac0 tagged as COSE_Sign1", BAD, SIGN1 + GOOD_MAC[1:], keys="hs256")
    yield mac("a MAC that says EdDSA", protected=protected_header(HMAC, alg=num(-8)))
    yield mac("a MAC that says HMAC 256/256", protected=protected_header(HMAC, alg=num(5)))
    yield mac("a whole MAC that says HMAC 256/256", protected=protected_header(HMAC, alg=num(5)), cut=32)
    yield mac("a MAC of 7 bytes", cut=7)
    yield mac("a MAC of 4 bytes", cut=4)
    yield mac("a MAC of no bytes", cut=0)
    yield mac("a MAC of 9 bytes", cut=9)
    yield mac("a MAC of all 32 bytes", cut=32)
    yield mac("a MAC over what a signature is made over", context="Signature1")
    yield mac("a MAC whose kid is not ASCII", protected=protected_header(HMAC, kid=b"hs-\xff"))
    yield mac("a MAC without kid", protected=protected_header(HMAC, kid=None))
    as_signature: dict[str, Any] = {"tag": SIGN1, "context": "Signature1", "cut": 32}
    for signer, keys in ((HMAC, "hs256"), (LONG_HMAC, "hs256_long")):
        kid = un_b64url(LONG_HMAC.kid) if signer is LONG_HMAC else HMAC.kid.encode()
        protected = protected_header(signer, alg=num(-8), kid=kid)
        forged = cwt(signer=signer, protected=protected, **as_signature)
        yield vector(f"an HMAC in place of a signature, kid {signer.kid}", BAD, forged, keys=keys)
    yield vector("a good MAC, kid of 16 characters", "ok", cwt(signer=LONG_HMAC), keys="hs256_long")
    yield vector("a signature of 63 bytes", BAD, cwt(cut=63))
    yield vector("a signature over what a MAC is made over", BAD, cwt(context="MAC0"))
    yield vector("a signature over what several sign", BAD, cwt(context="Signature"))


def flips() -> Iterator[Vector]:
    """A bit in the first and in the last byte of every piece."""
    for good, keys, of in ((GOOD, "jwks", ""), (GOOD_MAC, "hs256", " of a MAC")):
        for piece in layout(good):
            where = f"{piece.name}{of}"
            yield vector(f"the lowest bit flipped in {where}", BAD, _flipped(good, piece.at, 0), keys=keys)
            last = piece.at + len(piece.data) - 1
            yield vector(
                f"the highest bit of the last byte flipped in {where}", BAD, _flipped(good, last, 7), keys=keys
            )


def _flipped(data: bytes, at: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)


GROUPS = (forms, signers, headers, unknown_headers, unprotected, macs, flips, *cwt_claim_vectors.GROUPS)
