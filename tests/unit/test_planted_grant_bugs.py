"""For each refusal in the grant check: take it away, and the named vectors must notice.

A vector that nobody would miss proves nothing; a check that can be taken away unnoticed isn't tested. Each bug is a
change of one place in the source, which must be there exactly once.
"""

from types import SimpleNamespace

import pytest

from rolltape.testing.grant_vectors import each, run
from rolltape.wire import grant, keys, replay
from tests.unit.plants_cwt import CBOR_BUGS, COSE_BUGS, CWT_BUGS
from tests.unit.wire_planting import Bug, planted, refusals_without_a_bug

VECTORS = {case["name"]: case for case in each()}
REAL = SimpleNamespace(grant=grant, keys=keys, replay=replay)


GRANT_BUGS = [
    Bug(
        "any length",
        "if len(token) > MAX_TOKEN_BYTES:\n        raise invalid",
        "if False:\n        raise invalid",
        ("one character too long",),
    ),
    Bug("a shorter limit", "MAX_TOKEN_BYTES = 1024", "MAX_TOKEN_BYTES = 1023", ("exactly as long as allowed",)),
    Bug("more parts", "if len(parts) != 3:", "parts = parts[:3]\n    if len(parts) < 3:", ("four parts",), "grant"),
    Bug("non-canonical base64", "if b64url(data) != text:", "if False:", ("unused bits of the last character set",)),
    Bug(
        "unreadable header escapes",
        "header = _decode_header(header_bytes)\n    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):",
        "header = _decode_header(header_bytes)\n    except RecursionError:",
        (
            "a header that is not JSON",
            "a header that is not UTF-8",
            "a header that is a list",
            "no alg",
            "no kid",
            "no typ",
        ),
    ),
    Bug(
        "any key will do",
        "key = keys.get(header.kid)",
        "key = keys.get(header.kid) or next(iter(keys.values()), None)",
        ("a kid that the device does not hold",),
    ),
    Bug(
        "no key, no check",
        'if key is None:\n        raise invalid("the grant was signed by a key that this device does not hold")',
        "pass",
        ("a kid that the device does not hold", "a device that holds no key"),
    ),
    Bug(
        "alg is not looked at",
        'if header.alg != key.alg or header.typ != "JWT":',
        'if header.typ != "JWT":',
        ("an EdDSA signature that says HS256", "an EdDSA signature that says none", "an HMAC that says EdDSA"),
    ),
    Bug(
        "typ is not looked at",
        'if header.alg != key.alg or header.typ != "JWT":',
        "if header.alg != key.alg:",
        ("typ that is not JWT",),
    ),
    Bug(
        "the header chooses the algorithm",
        '    if header.alg != key.alg or header.typ != "JWT":\n',
        '    if header.alg == "HS256" and isinstance(key, Ed25519Verifier):\n'
        "        key = HmacKey(header.kid, key.key.public_bytes_raw())\n"
        '    if header.alg != key.alg or header.typ != "JWT":\n',
        ("HS256 with the public key as its secret",),
    ),
    Bug(
        "alg none needs no signature",
        '    if header.alg != key.alg or header.typ != "JWT":\n',
        '    if header.alg == "none":\n        return _decode_claims(claims_bytes)\n'
        '    if header.alg != key.alg or header.typ != "JWT":\n',
        ("alg none and no signature", "an EdDSA signature that says none"),
    ),
    Bug(
        "the signature is not looked at",
        "if not _key_of(header, keys).verifies(message, signature):",
        "if False:",
        (
            "signed by a stranger under our kid",
            "empty signature",
            "a bit flipped in the claims, a digit of seq",
            "a bit flipped in the claims, a digit of exp",
            "a bit flipped in the signature, first byte",
            "a bit flipped in the signature, last byte",
            "HS256 by another secret",
        ),
    ),
    Bug(
        "only half of the signature counts",
        "return hmac.compare_digest(self.sign(message), signature)",
        "return hmac.compare_digest(self.sign(message)[:0], signature[:0])",
        ("HS256 by another secret",),
    ),
    Bug(
        "unreadable claims escape",
        "return _decode_claims(claims_bytes)\n    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):",
        "return _decode_claims(claims_bytes)\n    except RecursionError:",
        (
            "claims that are not JSON",
            "claims that are not UTF-8",
            "without seq",
            "without exp",
            "seq as text",
            "exp as text",
            "exp null",
        ),
    ),
    Bug("a missing exp never ends", "    exp: int\n", "    exp: int = 2**40\n", ("without exp",), "claims"),
    Bug("a missing gen is ours", "    gen: int\n", "    gen: int = 3\n", ("without gen",), "claims"),
    Bug("iss is not looked at", "if claims.iss != iss:", "if False:", ("another deployment's",)),
    Bug("aud is not looked at", "if claims.aud != aud:", "if False:", ("for another device",)),
    Bug(
        "any header member",
        ", forbid_unknown_fields=True",
        "",
        ("a header member that nobody knows", "a header that names what must be understood"),
        "grant",
    ),
    Bug("any jti", 'if not is_id("cmd", claims.jti):', "if False:", ("jti that is no command's id",)),
    Bug(
        "any seq",
        "if not 0 < claims.seq < 2**63:",
        "if False:",
        ("seq is nothing", "seq is 2 to the 63rd", "CWT: seq is nothing", "CWT: seq is 2 to the 63rd"),
    ),
    Bug("gen is not looked at", "if claims.gen != gen:", "if False:", ("of an older binding", "of a newer binding")),
    Bug("an older binding will do", "if claims.gen != gen:", "if claims.gen > gen:", ("of an older binding",)),
    Bug("a newer binding will do", "if claims.gen != gen:", "if claims.gen < gen:", ("of a newer binding",)),
    Bug(
        "any time before",
        "if now_ms < (claims.nbf - EARLY_LEEWAY_SEC) * 1000:",
        "if False:",
        ("30.001 seconds before it is good", "nbf later than iat counts"),
    ),
    Bug("no leeway before", "EARLY_LEEWAY_SEC = 30", "EARLY_LEEWAY_SEC = 29", ("30 seconds before it is good",)),
    Bug("a longer leeway", "EARLY_LEEWAY_SEC = 30", "EARLY_LEEWAY_SEC = 31", ("30.001 seconds before it is good",)),
    Bug(
        "iat instead of nbf",
        "if now_ms < (claims.nbf - EARLY",
        "if now_ms < (claims.iat - EARLY",
        ("nbf later than iat counts",),
    ),
    Bug("no end", "if now_ms >= claims.exp * 1000:", "if False:", ("at the second of its end", "a day after its end")),
    Bug(
        "an end that is still good", "if now_ms >= claims.exp", "if now_ms > claims.exp", ("at the second of its end",)
    ),
    Bug(
        "leeway after the end",
        "if now_ms >= claims.exp * 1000:",
        "if now_ms >= (claims.exp + 30) * 1000:",
        ("at the second of its end", "29 seconds after its end"),
    ),
    Bug(
        "an end one second early",
        "if now_ms >= claims.exp * 1000:",
        "if now_ms >= (claims.exp - 1) * 1000:",
        ("in its last millisecond",),
    ),
    Bug(
        "used grants pass",
        "if replay.used(claims.seq):",
        "if False:",
        ("used just now", "oldest place of the window, used", "long out of the window", "a stop used before"),
    ),
    Bug(
        "only the highest may follow",
        "if replay.used(claims.seq):",
        "if claims.seq <= replay.highest:",
        ("a later one used, this one not", "oldest place of the window, not used"),
    ),
    Bug(
        "a start may follow a later stop",
        'if claims.type == "start_recording" and claims.seq < replay.highest_stop:',
        "if False:",
        ("a start held back until after its stop", "a start below a stop seen while idle"),
    ),
    Bug(
        "everything below a stop is refused",
        'if claims.type == "start_recording" and claims.seq < replay.highest_stop:',
        "if claims.seq < replay.highest_stop:",
        ("a stop below another stop", "an upload below a stop"),
    ),
    Bug(
        "an old stop ends a newer recording",
        "if claims.seq < recording_since_seq:",
        "if False:",
        ("a stop made before the recording that runs",),
    ),
    Bug(
        "a late stop does not end a recording",
        "        return  # an authentic newer stop is obeyed whatever the clock says",
        "        pass",
        ("a stop of a running recording, after its end", "a stop of a running recording, too early"),
    ),
    Bug(
        "every command of a running recording is timeless",
        'if claims.type == "stop_recording" and recording_since_seq is not None:',
        "if recording_since_seq is not None:",
        ("a start while recording, after its end",),
    ),
    Bug(
        "a start without time",
        'elif claims.type == "start_recording":',
        "elif False:",
        ("a start without trusted time",),
    ),
    Bug(
        "nothing without time",
        'elif claims.type == "start_recording":',
        "else:",
        ("a stop while idle, without trusted time", "an upload without trusted time"),
    ),
    Bug(
        "time is not looked at",
        "        check_time(claims, now_ms)",
        "        pass",
        ("at the second of its end", "30.001 seconds before it is good", "an upload after its end"),
    ),
]

REPLAY_BUGS = [
    Bug(
        "the window is one too wide",
        "return behind >= WINDOW or",
        "return behind > WINDOW or",
        ("just out of the window",),
    ),
    Bug(
        "the window is one too narrow",
        "return behind >= WINDOW or",
        "return behind >= WINDOW - 1 or",
        ("oldest place of the window, not used",),
    ),
    Bug("what has left the window passes", "return behind >= WINDOW or ", "return ", ("long out of the window",)),
    Bug(
        "the window is not looked at",
        "or bool(self.window >> behind & 1)",
        "or behind == 0",
        ("a later one used, this one too", "oldest place of the window, the only one used"),
    ),
    Bug(
        "the highest is free",
        "if seq > self.highest:\n            return False",
        "if seq >= self.highest:\n            return False",
        ("used just now",),
    ),
    Bug(
        "the window is read off by one",
        "self.window >> behind & 1",
        "self.window >> behind + 1 & 1",
        ("used just now",),
    ),
]


BUGS = GRANT_BUGS + REPLAY_BUGS + CBOR_BUGS + COSE_BUGS + CWT_BUGS


def answers(wire: SimpleNamespace) -> set[str]:
    """The names of the vectors that are answered wrongly."""
    return {
        name
        for name, case in VECTORS.items()
        if run(case, grant=wire.grant, replays=wire.replay, keyring=wire.keys) != case["expect"]
    }


def test_without_a_bug_no_vector_complains() -> None:
    assert answers(REAL) == set()


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_bug_planted_in_the_grant_check_is_caught(bug: Bug) -> None:
    with planted(bug) as wire:
        wrong = answers(wire)
    assert wrong, f"nobody noticed: {bug.name}"
    assert set(bug.caught_by) <= wrong, set(bug.caught_by) - wrong


def test_every_named_vector_is_there() -> None:
    assert {name for bug in BUGS for name in bug.caught_by} <= VECTORS.keys()


UNIT_TESTED = {
    "if len(data) > cose.MAX_BYTES:",  # when it is made: test_cwt
    "if not 0 <= number(value) < 2**63:",  # of answers and receipts: test_planted_answer_bugs
    "if len(data) != ISS_BYTES or data.hex() != iss:",  # when it is made: test_cwt
    "if not is_id(prefix, text):",  # when it is made: test_cwt
    "if depth == 0:",  # when it is made: test_cbor; when it is read, the library refuses before
    "if not isinstance(keys, list):",  # when keys are taken: test_grant
    "if not isinstance(kid, str) or not isinstance(x, str):",  # when keys are taken: test_grant
    "except ValueError:",
    "except (UnicodeEncodeError, binascii.Error) as error:",
}


@pytest.mark.parametrize("module", ["ids", "keys", "cbor", "cose", "cwt", "grant"])
def test_every_place_that_refuses_has_a_bug_planted_in_it(module: str) -> None:
    """Each `raise` of the check is behind a condition that some bug takes away."""
    marks = ("raise invalid", "raise GrantRefused", "raise ValueError")
    assert set(refusals_without_a_bug(module, BUGS, marks)) <= UNIT_TESTED
