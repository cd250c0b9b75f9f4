"""Signed answers with what a device must make of each: the cases of docs/answers.md as data, for any implementation.

`vectors/answers.json` is what `build` gives, to the byte; `python -m rolltape.testing.answer_vectors` writes it again.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from rolltape.testing.cbor_by_hand import (
    FALSE,
    NULL,
    SIGN1,
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
from rolltape.testing.cose_layout import ANSWER, layout
from rolltape.testing.cwt_making import GOOD as GRANT
from rolltape.testing.vector_world import (
    COMMAND,
    DEVICE,
    GEN,
    HMAC,
    ISS,
    NOW,
    PUBLIC,
    RECORDING,
    SECRET,
    SEED,
    SIGNER,
    STRANGER,
    Vector,
)
from rolltape.wire import answer as answer_module
from rolltape.wire import keys as keys_module
from rolltape.wire.ids import pack
from rolltape.wire.keys import HmacKey, Signer, b64url, jwk

FILE = Path(__file__).parent / "vectors" / "answers.json"
BAD = "refused"
NONCE = bytes(range(0xA0, 0xB0))
YESTERDAY = bytes(range(0xB0, 0xC0))
SHA256 = bytes(range(0xC0, 0xE0))
FLOOR = 2000
_KEYS = {"iss": 1, "aud": 3, "jti": 7, "nonce": 10, "facts": -65538}


def answer_of(told: bytes, signer: Signer = SIGNER, **other: bytes) -> bytes:
    """An answer over these facts and the usual claims, some replaced; an empty one is left out."""
    said = {
        "iss": raw(bytes.fromhex(ISS)),
        "aud": simple(pack("dev", DEVICE)),
        "jti": simple(pack("cmd", COMMAND)),
        "nonce": raw(NONCE),
        "facts": told,
    } | other
    return envelope(pairs(*((num(_KEYS[name]), value) for name, value in said.items() if value)), signer)


def facts(*said: Any) -> bytes:
    """The array of facts: now, gen, go, seq_floor, status, recording, sha256; as many as are given."""
    return simple(said)


GO = answer_of(facts(NOW, GEN, True))
TIME = answer_of(facts(NOW, GEN), jti=b"")
ALL = answer_of(facts(NOW, GEN, False, FLOOR, 2, pack("rec", RECORDING), SHA256))


def vector(name: str, data: bytes, *, keys: str = "jwks", says: dict[str, Any] | None = None) -> Vector:
    """One case. `says` is what a good one says, without what is null."""
    case: Vector = {"name": name, "answer_cwt": data.hex(), "keys": keys, "nonce": NONCE.hex()}
    return case | ({"expect": "ok", "says": says} if says is not None else {"expect": BAD})


def _says(**other: Any) -> dict[str, Any]:
    return {"now": NOW, "gen": GEN} | other


def _good() -> Iterator[Vector]:
    yield vector("time and generation alone", TIME, says=_says())
    yield vector("go", GO, says=_says(jti=COMMAND, go=True))
    yield vector("no go", answer_of(facts(NOW, GEN, False)), says=_says(jti=COMMAND, go=False))
    yield vector("go absent: neither", answer_of(facts(NOW, GEN)), says=_says(jti=COMMAND))
    yield vector("go null: neither", answer_of(facts(NOW, GEN, None)), says=_says(jti=COMMAND))
    floor = answer_of(facts(NOW, GEN, None, FLOOR), jti=b"")
    yield vector("a floor", floor, says=_says(seq_floor=FLOOR))
    nothing = answer_of(facts(NOW, GEN, None, 0), jti=b"")
    yield vector("a floor of nothing", nothing, says=_says(seq_floor=0))
    most = answer_of(facts(NOW, GEN, None, 2**63 - 1), jti=b"")
    yield vector("a floor as great as it may be", most, says=_says(seq_floor=2**63 - 1))
    all_ = _says(jti=COMMAND, go=False, seq_floor=FLOOR, status="executed", recording_id=RECORDING, sha256=SHA256.hex())
    yield vector("all at once", ALL, says=all_)
    more = answer_of(facts(NOW, GEN, True, None, None, None, None, "new", 7))
    yield vector("facts that nobody knows behind", more, says=_says(jti=COMMAND, go=True))
    yield vector("by the shared secret", answer_of(facts(NOW, GEN, True), HMAC), keys="hs256", says=_says_go())
    yield vector("of another binding, for the device to see", answer_of(facts(NOW, GEN + 1)), says=_says_gen(GEN + 1))
    for number, status in enumerate(("pending", "delivered", "executed", "failed", "expired", "cancelled")):
        told = answer_of(facts(NOW, GEN, None, None, number))
        yield vector(f"status {status}", told, says=_says(jti=COMMAND, status=status))
    spelled = answer_of(facts(NOW, GEN, True), aud=text(DEVICE), jti=text(COMMAND))
    yield vector("ids as their text", spelled, says=_says_go())


def _says_go() -> dict[str, Any]:
    return _says(jti=COMMAND, go=True)


def _says_gen(gen: int) -> dict[str, Any]:
    return _says(jti=COMMAND) | {"gen": gen}


def _for_others() -> Iterator[Vector]:
    """Whole and signed, and not for this device or this moment."""
    old = answer_of(facts(NOW, GEN, True), nonce=raw(YESTERDAY))
    yield vector("yesterday's nonce", old)
    other = answer_of(facts(NOW, GEN, True), aud=simple(pack("dev", DEVICE[:-1] + "I")))
    yield vector("for another device", other)
    stranger = answer_of(facts(NOW, GEN, True), iss=raw(bytes(8)))
    yield vector("another deployment's", stranger)


def _by_others() -> Iterator[Vector]:
    yield vector("by a stranger under our kid", answer_of(facts(NOW, GEN, True), STRANGER))
    yield vector("by another secret", answer_of(facts(NOW, GEN, True), HmacKey("hs-3", SEED)), keys="hs256")
    yield vector("a device that holds no key", GO, keys="none")
    yield vector("in EdDSA for a device with a secret", GO, keys="hs256")
    mac = HmacKey(b64url(PUBLIC[:12]), PUBLIC)
    yield vector("a MAC with the public key as its secret", answer_of(facts(NOW, GEN, True), mac))
    unsigned = envelope(b"\xa0", protected=protected_header(SIGNER, kid=None))
    yield vector("no kid", unsigned)
    yield vector("a grant in place of an answer", GRANT)
    yield vector("no answer at all", b"")
    yield vector("a byte behind", GO + b"\x00")
    yield vector("the tag alone", SIGN1)
    for piece in layout(ALL, ANSWER):
        for where, at, bit in (("first", piece.at, 0), ("last", piece.at + len(piece.data) - 1, 7)):
            changed = bytearray(ALL)
            changed[at] ^= 1 << bit
            yield vector(f"a bit flipped in {piece.name}, {where} byte", bytes(changed))


def _wrong() -> Iterator[Vector]:
    usual = facts(NOW, GEN, True)
    for name in ("iss", "aud", "nonce", "facts"):
        yield vector(f"without {name}", answer_of(usual, SIGNER, **{name: b""}))
        for kind, value in {"a number": num(7), "text": text("7"), "null": NULL, "a map": pairs()}.items():
            yield vector(f"{name} is {kind}", answer_of(usual, SIGNER, **{name: value}))
    yield vector("jti is null", answer_of(usual, jti=NULL))
    yield vector("jti is of 15 bytes", answer_of(usual, jti=raw(bytes(15))))
    yield vector("jti as the text of no id", answer_of(usual, jti=text("cmd_")))
    yield vector("jti as the text of another kind of id", answer_of(usual, jti=text(DEVICE)))
    yield vector("nonce of 15 bytes", answer_of(usual, nonce=raw(NONCE[:15])))
    yield vector("nonce of 17 bytes", answer_of(usual, nonce=raw(NONCE + b"\x00")))
    yield vector("claims in an array", envelope(array(usual)))
    yield vector("claims that are text", envelope(text("x")))
    yield vector("no claims", envelope(pairs()))
    yield vector("nonce twice", envelope(pairs((num(10), raw(YESTERDAY)), (num(10), raw(NONCE)))))


def _wrong_facts() -> Iterator[Vector]:
    def of(name: str, *said: bytes) -> Vector:
        return vector(name, answer_of(array(*said)))

    now, gen = num(NOW), num(GEN)
    yield of("no facts")
    yield of("now alone", now)
    for kind, value in {"null": NULL, "text": text("7"), "true": TRUE, "a fraction": b"\xf9\x3c\x00"}.items():
        yield of(f"now is {kind}", value, gen, TRUE)
        yield of(f"gen is {kind}", now, value, TRUE)
    for kind, value in {"1": num(1), "text": text("true"), "an array": array()}.items():
        yield of(f"go is {kind}", now, gen, value)
    for kind, value in {"text": text("7"), "false": FALSE, "a fraction": b"\xf9\x3c\x00"}.items():
        yield of(f"a floor that is {kind}", now, gen, NULL, value)
        yield of(f"a status that is {kind}", now, gen, NULL, NULL, value)
    for name, value in {"less than nothing": num(-1), "2 to the 63rd": num(2**63)}.items():
        yield of(f"now is {name}", value, gen)
        yield of(f"gen is {name}", now, value)
        yield of(f"a floor that is {name}", now, gen, NULL, value)
    yield of("a status that nobody knows", now, gen, NULL, NULL, num(6))
    yield of("a status below nothing", now, gen, NULL, NULL, num(-1))
    yield of("a recording that is a number", now, gen, NULL, NULL, NULL, num(1))
    yield of("a recording of 15 bytes", now, gen, NULL, NULL, NULL, raw(bytes(15)))
    yield of("a hash of 31 bytes", now, gen, NULL, NULL, NULL, NULL, raw(SHA256[:31]))
    yield of("a hash that is text", now, gen, NULL, NULL, NULL, NULL, text("c" * 32))


def build() -> dict[str, Any]:
    """The whole file as an object."""
    groups = (_good, _for_others, _by_others, _wrong, _wrong_facts)
    return {
        "about": "Signed answers and what a device must make of each. Documented in docs/answers.md.",
        "iss": ISS,
        "device_id": DEVICE,
        "private_key_seed_hex": SEED.hex(),
        "keys": {"jwks": {"keys": [jwk(PUBLIC)]}, "hs256": {"kid": HMAC.kid, "secret": b64url(SECRET)}},
        "vectors": [case for group in groups for case in group()],
    }


def to_json(built: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps(built, indent=1, ensure_ascii=True) + "\n"


def load() -> dict[str, Any]:
    """The shipped file."""
    found: dict[str, Any] = json.loads(FILE.read_text("ascii"))
    return found


def run(case: Vector, answer: ModuleType = answer_module, keyring: ModuleType = keys_module) -> tuple[str, Any]:
    """What a device makes of one vector: `ok` with what it says, or `refused`; `crash` for any other exception."""
    shared = {HMAC.kid: keyring.HmacKey(HMAC.kid, SECRET)}
    public = keyring.verifiers_from_jwks({"keys": [jwk(PUBLIC)]})
    keys = {"jwks": public, "hs256": shared, "none": {}}[case["keys"]]
    data, nonce = bytes.fromhex(case["answer_cwt"]), bytes.fromhex(case["nonce"])
    try:
        return "ok", said_by(answer.authenticate(data, keys, iss=ISS, aud=DEVICE, nonce=nonce))
    except ValueError:
        return BAD, None
    except Exception:
        return "crash", None


def said_by(heard: Any) -> dict[str, Any]:
    """What an answer says beyond whose and to whom it is, without what is null."""
    names = ("now", "gen", "jti", "go", "seq_floor", "status", "recording_id", "sha256")
    said = {name: getattr(heard, name) for name in names}
    said["sha256"] = heard.sha256.hex() if heard.sha256 is not None else None
    return {name: value for name, value in said.items() if value is not None}


def expected(case: Vector) -> tuple[str, Any]:
    """What `run` should give."""
    return case["expect"], case.get("says")


if __name__ == "__main__":
    FILE.write_text(to_json(build()), "ascii")
