"""How a compact grant of the vectors is made, of claims or of values that are encoded already."""

from typing import Any

from rolltape.testing.cbor_by_hand import array, envelope, num, pairs, raw, simple
from rolltape.testing.vector_world import GEN, HMAC, SEQ, SIGNER, claims
from rolltape.wire.ids import pack
from rolltape.wire.keys import Signer

BAD = "grant_invalid"
KEYS = {"iss": 1, "aud": 3, "exp": 4, "nbf": 5, "iat": 6, "jti": 7, "command": -65537}
TYPES = {"start_recording": 1, "stop_recording": 2, "trigger_upload": 3, "factory_reset": 4}
PARAMS = {"max_duration_sec": 1, "upload_immediately": 2}

Facts = dict[str, bytes]


def command(
    seq: bytes = num(SEQ), gen: bytes = num(GEN), type_: bytes = num(1), params: bytes | None = None, *more: bytes
) -> bytes:
    """The command's array, of parts that are encoded already."""
    usual = simple({1: 3600, 2: True})
    return array(seq, gen, type_, usual if params is None else params, *more)


def facts(**other: Any) -> Facts:
    """The usual claims, some replaced, as encoded values by name."""
    said = claims(**other)
    params = {PARAMS.get(name, name): value for name, value in said["params"].items()}
    type_ = TYPES.get(said["type"], said["type"])
    found = {
        "iss": raw(bytes.fromhex(said["iss"])),
        "aud": simple(pack("dev", said["aud"])),
        "exp": num(said["exp"]),
        "nbf": num(said["nbf"]),
        "iat": num(said["iat"]),
        "jti": simple(pack("cmd", said["jti"])),
        "command": command(num(said["seq"]), num(said["gen"]), simple(type_), simple(params)),
    }
    if said["nbf"] == said["iat"]:
        del found["nbf"]
    return found


def payload(found: Facts, *more: tuple[bytes, bytes]) -> bytes:
    """The map of claims, in the order given, and more pairs behind."""
    return pairs(*((num(KEYS[name]), value) for name, value in found.items()), *more)


def cwt(found: dict[str, Any] | None = None, signer: Signer = SIGNER, **form: Any) -> bytes:
    """A grant over claims as grant_vectors.token takes them; `form` as cbor_by_hand.envelope takes it."""
    return envelope(payload(facts(**(found or {}))), signer, **form)


def with_claims(**changed: bytes) -> bytes:
    """The usual grant with encoded values in place of some; an empty one leaves the claim out."""
    found = {name: changed.get(name, value) for name, value in (facts() | changed).items()}
    ordered = {name: found[name] for name in KEYS if found.get(name)}
    return envelope(payload(ordered))


GOOD = cwt()
GOOD_MAC = cwt(signer=HMAC)
