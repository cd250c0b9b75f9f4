"""Grants with what a device must answer to each: the cases of docs/grants.md as data, for any implementation.

`vectors/grants.json` is what `build` gives, to the byte. A device's own check passes when `run` of every vector,
written in the device's language, gives `expect`. `python -m rolltape.testing.grant_vectors` writes the file again.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from rolltape.testing import cwt_vectors
from rolltape.testing.cwt_making import cwt
from rolltape.testing.vector_world import (
    DEVICE,
    GEN,
    HMAC,
    IAT,
    ISS,
    KID,
    LONG_HMAC,
    PUBLIC,
    SECRET,
    SEED,
    SEQ,
    SIGNER,
    STRANGER,
    TTL,
    Vector,
    claims,
    replay,
    vector,
)
from rolltape.wire import grant as grant_module
from rolltape.wire import keys as keys_module
from rolltape.wire import replay as replay_module
from rolltape.wire.claims import Claims
from rolltape.wire.keys import HmacKey, Signer, b64url, jwk, un_b64url

FILE = Path(__file__).parent / "vectors" / "grants.json"
Maker = Callable[[dict[str, Any]], str | bytes]
"""Makes a grant of claims, in one of the two encodings."""


def token(said: dict[str, Any] | bytes, signer: Signer = SIGNER, **header: Any) -> str:
    """A token over any claims and any header, right or wrong."""
    head = {"alg": signer.alg, "typ": "JWT", "kid": signer.kid} | header
    head = {name: value for name, value in head.items() if value is not None}
    payload = said if isinstance(said, bytes) else msgspec.json.encode(said)
    message = f"{b64url(msgspec.json.encode(head))}.{b64url(payload)}".encode()
    return f"{message.decode()}.{b64url(signer.sign(message))}"


def _flipped(part: int, byte: int, bit: int) -> str:
    parts = token(claims()).split(".")
    data = bytearray(un_b64url(parts[part]))
    data[byte] ^= 1 << bit
    parts[part] = b64url(bytes(data))
    return ".".join(parts)


def _forms() -> Iterator[Vector]:
    good = token(claims())
    head, body, signature = good.split(".")
    bad = "grant_invalid"
    yield vector("a good grant", "ok", good)
    yield vector("no grant at all", bad, "")
    yield vector("two parts", bad, f"{head}.{body}")
    yield vector("four parts", bad, f"{good}.{signature}")
    yield vector("empty signature", bad, f"{head}.{body}.")
    yield vector("padded base64", bad, f"{good}==")
    last = signature[-1]
    other = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    yield vector("unused bits of the last character set", bad, good[:-1] + other[other.index(last) + 1])
    yield vector("a line feed at the end", bad, good + "\n")
    yield vector("a blank inside", bad, f"{head}.{body} .{signature}")
    yield vector("plain base64 digits", bad, _with_plain_digits())
    yield vector("a character outside ASCII", bad, f"{head}.{body}.{signature[:-1]}é")
    filler = 1024 - len(token(claims(params={"x": ""})))
    longest = token(claims(params={"x": "x" * (filler * 3 // 4)}))
    yield vector("exactly as long as allowed" if len(longest) == 1024 else "nearly as long as allowed", "ok", longest)
    yield vector("one character too long", bad, _of_length(1025))
    yield vector("a header that is not JSON", bad, f"{b64url(b'{')}.{body}.{signature}")
    yield vector("a header that is a list", bad, f"{b64url(b'[]')}.{body}.{signature}")
    not_utf8 = b64url(b'{"alg":"EdDSA","typ":"JWT","kid":"\xff"}')
    yield vector("a header that is not UTF-8", bad, f"{not_utf8}.{body}.{signature}")
    yield vector("claims that are not UTF-8", bad, token(msgspec.json.encode(claims()).replace(b"rec", b"\xff")))
    yield vector("claims that are not JSON", bad, token(b"{"))
    yield vector("claims nested too deep", bad, token(b"[" * 400))


def _with_plain_digits() -> str:
    for number in range(1000):
        text = token(claims(iat=IAT - number))
        if "-" in text:
            return text.replace("-", "+")
    raise AssertionError


def _of_length(length: int) -> str:
    for count in range(300, 700):
        text = token(claims(params={"x": "x" * count}))
        if len(text) >= length:
            return text
    raise AssertionError


def _keys() -> Iterator[Vector]:
    bad = "grant_invalid"
    shared = HmacKey("hs-3", SECRET)
    yield vector("HS256 by the shared secret", "ok", token(claims(), shared), keys="hs256")
    yield vector("HS256 by another secret", bad, token(claims(), HmacKey("hs-3", SEED)), keys="hs256")
    yield vector("HS256 with the public key as its secret", bad, token(claims(), HmacKey(KID, PUBLIC)))
    yield vector(
        "HS256 with the public key as text as its secret", bad, token(claims(), HmacKey(KID, b64url(PUBLIC).encode()))
    )
    yield vector("an EdDSA signature that says HS256", bad, token(claims(), alg="HS256"))
    yield vector("an EdDSA signature that says none", bad, token(claims(), alg="none"))
    yield vector("an EdDSA signature that says Ed25519", bad, token(claims(), alg="Ed25519"))
    yield vector("an HMAC that says EdDSA", bad, token(claims(), shared, alg="EdDSA"), keys="hs256")
    unsigned = token(claims(), alg="none").rsplit(".", 1)[0]
    yield vector("alg none and no signature", bad, f"{unsigned}.")
    yield vector("no alg", bad, token(claims(), alg=None))
    yield vector("no kid", bad, token(claims(), kid=None))
    yield vector("a kid that the device does not hold", bad, token(claims(), kid="AAAAAAAAAAAAAAAA"))
    yield vector("the kid of the other key", bad, token(claims(), kid="hs-3"), keys="both")
    yield vector("typ that is not JWT", bad, token(claims(), typ="JOSE"))
    yield vector("no typ", bad, token(claims(), typ=None))
    yield vector("a header member that nobody knows", bad, token(claims(), cty="x"))
    yield vector("a header that names what must be understood", bad, token(claims(), crit=["exp"]))
    yield vector("signed by a stranger under our kid", bad, token(claims(), STRANGER))
    yield vector("a device that holds no key", bad, token(claims()), keys="none")


def _flips() -> Iterator[Vector]:
    places = {
        "header, first byte": (0, 0, 0),
        "header, alg": (0, 8, 1),
        "header, kid": (0, -3, 0),
        "claims, first byte": (1, 0, 0),
        "claims, last byte": (1, -1, 7),
        "claims, a digit of seq": (1, token_index('"seq":1000') + 7, 0),
        "claims, a digit of exp": (1, token_index('"exp":') + 15, 0),
        "signature, first byte": (2, 0, 0),
        "signature, end of R": (2, 31, 7),
        "signature, start of S": (2, 32, 0),
        "signature, last byte": (2, 63, 7),
    }
    for where, (part, byte, bit) in places.items():
        yield vector(f"a bit flipped in the {where}", "grant_invalid", _flipped(part, byte, bit))


def token_index(text: str) -> int:
    """Where `text` begins in the claims of the usual grant."""
    return msgspec.json.encode(claims()).decode().index(text)


def _claims() -> Iterator[Vector]:
    bad = "grant_invalid"
    yield vector("another deployment's", bad, token(claims(iss="1f2e3d4c5b6a7989")))
    yield vector("for another device", bad, token(claims(aud="dev_0XHxge5b1DK1c6m1ar3CGI")))
    yield vector("of an older binding", bad, token(claims(gen=GEN - 1)))
    yield vector("of a newer binding", bad, token(claims(gen=GEN + 1)))
    for name in claims():
        rest = {key: value for key, value in claims().items() if key != name}
        yield vector(f"without {name}", bad, token(rest))
    yield vector("seq as text", bad, token(claims(seq="1000")))
    yield vector("gen as text", bad, token(claims(gen="3")))
    yield vector("exp as text", bad, token(claims(exp=str(IAT + TTL))))
    yield vector("aud as a list", bad, token(claims(aud=[DEVICE])))
    yield vector("params as a list", bad, token(claims(params=[])))
    yield vector("exp null", bad, token(claims(exp=None)))
    yield vector("a claim that nobody knows", "ok", token(claims(hint="new")))
    yield vector("jti that is no command's id", bad, token(claims(jti=DEVICE)))
    yield vector("seq is nothing", bad, token(claims(seq=0)))
    yield vector("seq is less than nothing", bad, token(claims(seq=-1)))
    yield vector("seq is as great as it may be", "ok", token(claims(seq=2**63 - 1)))
    yield vector("seq is 2 to the 63rd", bad, token(claims(seq=2**63)))


def _times(make: Maker) -> Iterator[Vector]:
    good, end = make(claims()), (IAT + TTL) * 1000
    late, stop = "grant_expired", make(claims(type="stop_recording"))
    yield vector("in its last millisecond", "ok", good, now_ms=end - 1)
    yield vector("at the second of its end", late, good, now_ms=end)
    yield vector("one millisecond after its end", late, good, now_ms=end + 1)
    yield vector("29 seconds after its end", late, good, now_ms=end + 29_000)
    yield vector("a day after its end", late, good, now_ms=end + 86_400_000)
    yield vector("30 seconds before it is good", "ok", good, now_ms=IAT * 1000 - 30_000)
    yield vector("30.001 seconds before it is good", late, good, now_ms=IAT * 1000 - 30_001)
    yield vector("nbf later than iat counts", late, make(claims(nbf=IAT + 100)), now_ms=IAT * 1000 + 69_999)
    yield vector("nbf later than iat, within the leeway", "ok", make(claims(nbf=IAT + 100)), now_ms=IAT * 1000 + 70_000)
    yield vector("a start without trusted time", "clock_unknown", good, now_ms=None)
    yield vector("an upload without trusted time", "ok", make(claims(type="trigger_upload")), now_ms=None)
    yield vector("an upload after its end", late, make(claims(type="trigger_upload")), now_ms=end)
    yield vector("a stop while idle, without trusted time", "ok", stop, now_ms=None)
    yield vector("a stop while idle, after its end", late, stop, now_ms=end)
    yield vector("a stop of a running recording, after its end", "ok", stop, now_ms=end, recording_since_seq=SEQ - 1)
    yield vector("a stop of a running recording, too early", "ok", stop, now_ms=0, recording_since_seq=SEQ - 1)
    yield vector("a stop of a running recording, without time", "ok", stop, now_ms=None, recording_since_seq=SEQ - 1)
    yield vector("a start while recording, after its end", late, good, now_ms=end, recording_since_seq=SEQ - 1)


def _replays(make: Maker) -> Iterator[Vector]:
    good, used = make(claims()), "grant_replayed"
    full = (1 << 128) - 1
    yield vector("used just now", used, good, replay=replay(SEQ, 1))
    yield vector("a later one used, this one not", "ok", good, replay=replay(SEQ + 1, 1))
    yield vector("a later one used, this one too", used, good, replay=replay(SEQ + 1, 3))
    yield vector("oldest place of the window, not used", "ok", good, replay=replay(SEQ + 127, full >> 1))
    yield vector("oldest place of the window, used", used, good, replay=replay(SEQ + 127, full))
    yield vector("oldest place of the window, the only one used", used, good, replay=replay(SEQ + 127, 1 << 127 | 1))
    yield vector("just out of the window", used, good, replay=replay(SEQ + 128, 1))
    yield vector("long out of the window", used, good, replay=replay(SEQ + 10_000, 1))
    yield vector("next after the highest", "ok", good, replay=replay(SEQ - 1, full))
    yield vector("far above the highest", "ok", good, replay=replay(1, 1))
    yield vector("above a floor given by the server", "ok", good, replay=replay(SEQ - 1, full, SEQ - 1))
    yield vector("at a floor given by the server", used, good, replay=replay(SEQ, full, SEQ))
    yield vector("used and expired", used, good, replay=replay(SEQ, 1), now_ms=(IAT + TTL) * 1000)
    yield vector(
        "a stop used before", used, make(claims(type="stop_recording")), replay=replay(SEQ, 1), recording_since_seq=1
    )


def _stops(make: Maker) -> Iterator[Vector]:
    start, stop, late = make(claims()), make(claims(type="stop_recording")), "superseded"
    upload = make(claims(type="trigger_upload"))
    yield vector("a start held back until after its stop", late, start, replay=replay(SEQ + 1, 1, SEQ + 1))
    yield vector("a start below a stop seen while idle", late, start, replay=replay(0, 0, SEQ + 1))
    yield vector("a start held back, and expired", late, start, replay=replay(0, 0, SEQ + 1), now_ms=(IAT + TTL) * 1000)
    yield vector("a start held back, without trusted time", late, start, replay=replay(0, 0, SEQ + 1), now_ms=None)
    yield vector("a start above the last stop", "ok", start, replay=replay(SEQ - 1, 1, SEQ - 1))
    yield vector("a stop below another stop", "ok", stop, replay=replay(SEQ + 1, 1, SEQ + 1))
    yield vector("an upload below a stop", "ok", upload, replay=replay(SEQ + 1, 1, SEQ + 1))
    yield vector("a stop made before the recording that runs", late, stop, recording_since_seq=SEQ + 1)
    yield vector("a stop made after the recording that runs", "ok", stop, recording_since_seq=SEQ - 1)
    yield vector("a stop while idle", "ok", stop)
    yield vector("a start while recording is the device's to answer", "ok", start, recording_since_seq=SEQ - 1)


def build() -> dict[str, Any]:
    """The whole file as an object."""
    forms = (_forms, _keys, _flips, _claims)
    judged = (_times, _replays, _stops)
    cases = [case for group in forms for case in group()] + [case for group in judged for case in group(token)]
    cases += [case for group in cwt_vectors.GROUPS for case in group()]
    cases += [case for group in judged for case in group(cwt)]
    return {
        "about": "Grants and what a device must answer to each. Documented in docs/grants.md.",
        "iss": ISS,
        "device_id": DEVICE,
        "binding_generation": GEN,
        "private_key_seed_hex": SEED.hex(),
        "keys": {
            "jwks": {"keys": [jwk(PUBLIC)]},
            "hs256": {"kid": HMAC.kid, "secret": b64url(SECRET)},
            "hs256_long": {"kid": LONG_HMAC.kid, "secret": b64url(SECRET)},
        },
        "vectors": cases,
    }


def to_json(built: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps(built, indent=1, ensure_ascii=True) + "\n"


def load() -> dict[str, Any]:
    """The shipped file."""
    found: dict[str, Any] = json.loads(FILE.read_text("ascii"))
    return found


def run(
    case: Vector,
    grant: ModuleType = grant_module,
    replays: ModuleType = replay_module,
    keyring: ModuleType = keys_module,
) -> str:
    """What a check answers to one vector: `ok`, or the failure code; `crash` for any other exception.

    `grant`, `replays` and `keyring` are modules with the shape of rolltape.wire.grant, .replay and .keys.
    """
    device = case["device"]
    shared, longer = ({key.kid: keyring.HmacKey(key.kid, SECRET)} for key in (HMAC, LONG_HMAC))
    public = keyring.verifiers_from_jwks({"keys": [jwk(PUBLIC)]})
    held = {"jwks": public, "hs256": shared, "hs256_long": longer, "both": public | shared, "none": {}}
    keys = held[device["keys"]]
    text = case["token"] if "token" in case else bytes.fromhex(case["grant_cwt"])
    try:
        said: Claims = grant.authenticate(text, keys, iss=ISS, aud=DEVICE, gen=GEN)
        grant.judge(
            said,
            now_ms=device["now_ms"],
            replay=replays.ReplayRecord.from_bytes(bytes.fromhex(device["replay"])),
            recording_since_seq=device["recording_since_seq"],
        )
    except grant.GrantRefused as refused:
        return str(refused.failure)
    except Exception:
        return "crash"
    return "ok"


def each(accept: Callable[[Vector], bool] = lambda _: True) -> list[Vector]:
    """The vectors of the shipped file that `accept` likes."""
    return [case for case in load()["vectors"] if accept(case)]


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(to_json(build()), "ascii")
