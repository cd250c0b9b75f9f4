"""Receipts with what the server makes of each, and the bodies that they sign: the cases of docs/answers.md as data.

`vectors/receipts.json` is what `build` gives, to the byte; `python -m rolltape.testing.receipt_vectors` writes it
again. A device's signer is right when it makes the text of the good ones, and its hash when it gives that of each body.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from rolltape.testing import body_vectors
from rolltape.testing.cbor_by_hand import (
    FALSE,
    MAC0,
    NULL,
    TRUE,
    array,
    envelope,
    num,
    pairs,
    protected_header,
    raw,
    simple,
    text,
)
from rolltape.testing.cose_layout import RECEIPT, layout
from rolltape.testing.vector_world import (
    COMMAND,
    DEVICE,
    DEVICE_PUBLIC,
    DEVICE_SEED,
    DEVICE_SIGNER,
    GEN,
    ISS,
    RECORDING,
    SIGNER,
    Vector,
)
from rolltape.wire import keys as keys_module
from rolltape.wire import receipt as receipt_module
from rolltape.wire.ids import pack
from rolltape.wire.keys import HmacKey, Signer, b64url, jwk, un_b64url

FILE = Path(__file__).parent / "vectors" / "receipts.json"
BAD = "refused"
COUNTER = 41
HASH = bytes.fromhex(body_vectors.report()["hash"])
SAID = ("state", "delivered", "executed", "failed", "recorded")
_HEADER = protected_header(DEVICE_SIGNER, kid=None)
_USUAL = array(num(GEN), num(COUNTER), num(2), raw(HASH))


def receipt_of(told: bytes = _USUAL, signer: Signer = DEVICE_SIGNER, **other: bytes) -> str:
    """A compact receipt over these facts and the usual claims, some replaced; an empty one is left out."""
    names = {"device": 1, "aud": 3, "jti": 7, "facts": -65539}
    said = {
        "device": simple(pack("dev", DEVICE)),
        "aud": raw(bytes.fromhex(ISS)),
        "jti": simple(pack("cmd", COMMAND)),
        "facts": told,
    } | other
    return _sealed(pairs(*((num(names[name]), value) for name, value in said.items() if value)), signer)


def _sealed(payload: bytes, signer: Signer = DEVICE_SIGNER, **form: Any) -> str:
    return b64url(envelope(payload, signer, **({"protected": _HEADER} | form)))


def jws_of(said: dict[str, Any] | bytes, signer: Signer = DEVICE_SIGNER, **header: Any) -> str:
    """A receipt in JSON over any facts, under any header; None leaves a member out."""
    head = {name: value for name, value in ({"alg": "EdDSA"} | header).items() if value is not None}
    payload = said if isinstance(said, bytes) else msgspec.json.encode(said)
    message = f"{b64url(msgspec.json.encode(head))}.{b64url(payload)}"
    return f"{message}.{b64url(signer.sign(message.encode()))}"


def facts(**other: Any) -> dict[str, Any]:
    """The usual facts by name; None leaves one out. `hash` is in base64url."""
    usual = {"aud": ISS, "device": DEVICE, "gen": GEN, "counter": COUNTER, "status": "executed"}
    said = usual | {"hash": b64url(HASH), "jti": COMMAND} | other
    return {name: value for name, value in said.items() if value is not None}


GOOD = receipt_of()
GOOD_JWS = jws_of(facts())


def vector(name: str, receipt: str, says: dict[str, Any] | None = None) -> Vector:
    """One case. `says` is what a good one says."""
    case: Vector = {"name": name, "receipt": receipt}
    return case | ({"expect": "ok", "says": says} if says is not None else {"expect": BAD})


def _good() -> Iterator[Vector]:
    yield vector("a report, compact", GOOD, facts())
    yield vector("a report, in JSON", GOOD_JWS, facts())
    shapes: dict[str, dict[str, Any]] = {
        "an acknowledgement": {"status": "delivered", "hash": None},
        "a failure": {"status": "failed"},
        "a heartbeat": {"status": "state", "jti": None},
        "a recording": {"status": "recorded", "jti": None, "recording_id": RECORDING},
        "a recording of a command": {"status": "recorded", "recording_id": RECORDING},
        "the first of all": {"counter": 0},
        "the last of all": {"counter": 2**63 - 1},
    }
    for name, changed in shapes.items():
        said = facts(**changed)
        yield vector(f"{name}, compact", _compact(said), said)
        yield vector(f"{name}, in JSON", jws_of(said), said)
    more = array(num(GEN), num(COUNTER), num(2), raw(HASH), NULL, text("new"))
    yield vector("facts that nobody knows behind, compact", receipt_of(more), facts())
    yield vector("a fact that nobody knows, in JSON", jws_of(facts(hint="new")), facts())
    with_kid = _sealed(_payload(facts()), protected=protected_header(DEVICE_SIGNER))
    yield vector("the key's id in the header, compact", with_kid, facts())
    yield vector("the key's id in the header, in JSON", jws_of(facts(), kid=DEVICE_SIGNER.kid, typ="JOSE"), facts())
    own_id = "rec_" + "z" * 22
    long_id = facts(status="recorded", jti=None, recording_id=own_id)
    yield vector("a recording with an id of the device's own, compact", _compact(long_id), long_id)


def _payload(said: dict[str, Any]) -> bytes:
    found: dict[int, Any] = {1: pack("dev", said["device"]), 3: bytes.fromhex(said["aud"])}
    if "jti" in said:
        found[7] = pack("cmd", said["jti"])
    hash_ = un_b64url(said["hash"]) if "hash" in said else None
    recording = pack("rec", said["recording_id"]) if "recording_id" in said else None
    told = [said["gen"], said["counter"], SAID.index(said["status"]), hash_, recording]
    while told[-1] is None:
        told.pop()
    return simple({**found, -65539: told})


def _compact(said: dict[str, Any]) -> str:
    return _sealed(_payload(said))


def _by_others() -> Iterator[Vector]:
    mac = HmacKey("x", DEVICE_PUBLIC)
    yield vector("signed by the deployment, compact", receipt_of(_USUAL, SIGNER))
    yield vector("signed by the deployment, in JSON", jws_of(facts(), SIGNER))
    yield vector("a MAC with the public key as its secret", _sealed(_payload(facts()), mac, protected=None))
    yield vector("HS256 with the public key as its secret", jws_of(facts(), mac, alg="HS256"))
    yield vector("an HMAC that says EdDSA, in JSON", jws_of(facts(), mac))
    yield vector("a signature tagged as a MAC", _sealed(_payload(facts()), tag=MAC0))
    yield vector("no alg, compact", _sealed(_payload(facts()), protected=b"\xa0"))
    yield vector("alg none, compact", _sealed(_payload(facts()), protected=pairs((num(1), num(0)))))
    yield vector("alg none, in JSON", jws_of(facts(), alg="none"))
    yield vector("alg none and no signature", jws_of(facts(), alg="none").rsplit(".", 1)[0] + ".")
    yield vector("no alg, in JSON", jws_of(facts(), alg=None))
    yield vector("something that must be understood, in JSON", jws_of(facts(), crit=["b64"], b64=False))
    yield vector("something that must be understood, null", _under(b'{"alg":"EdDSA","crit":null}'))
    yield vector("something that must be understood, compact", _sealed(_payload(facts()), protected=_critical()))
    yield vector("an unprotected header", _sealed(_payload(facts()), unprotected=pairs((num(4), raw(b"x")))))


def _under(header: bytes) -> str:
    message = f"{b64url(header)}.{b64url(msgspec.json.encode(facts()))}"
    return f"{message}.{b64url(DEVICE_SIGNER.sign(message.encode()))}"


def _critical() -> bytes:
    return pairs((num(1), num(-8)), (num(2), array(num(3))))


def _forms() -> Iterator[Vector]:
    head, body, signature = GOOD_JWS.split(".")
    yield vector("nothing", "")
    yield vector("padded", GOOD + "==")
    yield vector("a line feed at the end", GOOD + "\n")
    yield vector("outside ASCII", GOOD + "é")
    yield vector("cut short", GOOD[:-4])
    yield vector("a byte behind", b64url(un_b64url(GOOD) + b"\x00"))
    yield vector("too long", jws_of(facts(hint="x" * 2048)))
    yield vector("two parts", f"{head}.{body}")
    yield vector("four parts", f"{GOOD_JWS}.{signature}")
    yield vector("three parts of the compact one", f"{GOOD}..")
    yield vector("a header that is no JSON", f"{b64url(b'{')}.{body}.{signature}")
    yield vector("a header that is a list", f"{b64url(b'[]')}.{body}.{signature}")
    yield vector("facts that are no JSON", jws_of(b"{"))
    yield vector("facts that are not UTF-8", jws_of(b'{"aud":"\xff"}'))
    yield vector("facts nested too deep", jws_of(b'{"x":' + b"[" * 1300))
    for piece in layout(un_b64url(GOOD), RECEIPT):
        for where, at, bit in (("first", piece.at, 0), ("last", piece.at + len(piece.data) - 1, 7)):
            changed = bytearray(un_b64url(GOOD))
            changed[at] ^= 1 << bit
            yield vector(f"a bit flipped in {piece.name}, {where} byte", b64url(bytes(changed)))
    for i, name in enumerate(("the header", "the facts", "the signature")):
        parts = [un_b64url(part) for part in GOOD_JWS.split(".")]
        parts[i] = parts[i][:-3] + bytes([parts[i][-3] ^ 1]) + parts[i][-2:]
        yield vector(f"a bit flipped in {name} of a JWS", ".".join(b64url(part) for part in parts))


def _wrong() -> Iterator[Vector]:
    kinds = {"null": NULL, "a number": num(7), "text": text("7"), "bytes": raw(b"7"), "true": TRUE, "an array": array()}
    for name in ("device", "aud", "facts"):
        yield vector(f"without {name}, compact", receipt_of(_USUAL, DEVICE_SIGNER, **{name: b""}))
    for name in ("device", "aud", "facts", "jti"):
        for kind, value in kinds.items():
            yield vector(f"{name} is {kind}, compact", receipt_of(_USUAL, DEVICE_SIGNER, **{name: value}))
    yield vector("claims in an array", _sealed(array(_USUAL)))
    yield vector("claims that are a number", _sealed(num(7)))
    yield vector("claims that are text", _sealed(text("x")))
    yield vector("no claims", _sealed(pairs()))
    yield vector("facts twice", _sealed(pairs((num(-65539), _USUAL), (num(-65539), _USUAL))))
    yield vector("gen in another form", receipt_of(array(num(GEN, 1), num(COUNTER), num(2), raw(HASH))))
    for name in ("aud", "device", "gen", "counter", "status"):
        yield vector(f"without {name}, in JSON", jws_of(facts(**{name: None})))
    wrong: dict[str, tuple[Any, ...]] = {
        "aud": (7, "1F2E3D4C5B6A7988", "1f2e3d4c5b6a79", "no hex digits at"),
        "device": (7, COMMAND, "dev_", "dev_é"),
        "jti": (7, DEVICE, "cmd_"),
        "recording_id": (7, COMMAND, "rec_"),
        "gen": ("3", True, 3.5, -1, 2**63),
        "counter": ("41", True, 0.5, -1, 2**63),
        "status": (2, "pending", "EXECUTED"),
        "hash": (7, HASH.hex(), b64url(HASH[:31]), b64url(HASH) + "="),
    }
    for name, values in wrong.items():
        for value in values:
            yield vector(f"{name} is {value!r}, in JSON", jws_of(facts(**{name: value})))


def _wrong_facts() -> Iterator[Vector]:
    def of(name: str, *said: bytes) -> Vector:
        return vector(f"{name}, compact", receipt_of(array(*said)))

    gen, counter, executed = num(GEN), num(COUNTER), num(2)
    yield of("no facts")
    yield of("gen alone", gen)
    yield of("no status", gen, counter)
    ways = {"null": NULL, "text": text("7"), "false": FALSE, "a fraction": b"\xf9\x3c\x00", "less than 0": num(-1)}
    for kind, value in ways.items():
        yield of(f"gen is {kind}", value, counter, executed)
        yield of(f"counter is {kind}", gen, value, executed)
        yield of(f"status is {kind}", gen, counter, value)
    yield of("gen is 2 to the 63rd", num(2**63), counter, executed)
    yield of("counter is 2 to the 63rd", gen, num(2**63), executed)
    yield of("a status that nobody knows", gen, counter, num(5))
    for kind, value in {"a number": num(7), "text": text("c" * 32), "of 31 bytes": raw(HASH[:31])}.items():
        yield of(f"hash is {kind}", gen, counter, executed, value)
    for kind, value in {"a number": num(7), "of 15 bytes": raw(bytes(15)), "the text of no id": text("rec_")}.items():
        yield of(f"recording is {kind}", gen, counter, executed, NULL, value)


def build() -> dict[str, Any]:
    """The whole file as an object."""
    groups = (_good, _by_others, _forms, _wrong, _wrong_facts)
    return {
        "about": "Receipts, and the bodies that they sign. Documented in docs/answers.md.",
        "iss": ISS,
        "device_id": DEVICE,
        "device_key_seed_hex": DEVICE_SEED.hex(),
        "device_public_key": b64url(DEVICE_PUBLIC),
        "bodies": list(body_vectors.bodies()),
        "vectors": [case for group in groups for case in group()],
    }


def to_json(built: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps(built, indent=1, ensure_ascii=True) + "\n"


def load() -> dict[str, Any]:
    """The shipped file."""
    found: dict[str, Any] = json.loads(FILE.read_text("ascii"))
    return found


def run(case: Vector, receipt: ModuleType = receipt_module, keyring: ModuleType = keys_module) -> tuple[str, Any]:
    """What the server makes of one receipt: `ok` with what it says, or `refused`; `crash` for any other exception."""
    try:
        return "ok", said_by(receipt.read(case["receipt"], device_key(keyring)))
    except ValueError:
        return BAD, None
    except Exception:
        return "crash", None


def said_by(read: Any) -> dict[str, Any]:
    """What a receipt says, without what is null; its hash in base64url."""
    said = {name: getattr(read, name) for name in read.__struct_fields__}
    said["hash"] = None if read.hash is None else b64url(read.hash)
    return {name: value for name, value in said.items() if value is not None}


def device_key(keyring: ModuleType = keys_module) -> Any:
    """What the server holds of the device: its public key, a Verifier of that module."""
    return keyring.verifiers_from_jwks({"keys": [jwk(DEVICE_PUBLIC)]})[DEVICE_SIGNER.kid]


def expected(case: Vector) -> tuple[str, Any]:
    """What `run` should give."""
    return case["expect"], case.get("says")


if __name__ == "__main__":
    FILE.write_text(to_json(build()), "ascii")
