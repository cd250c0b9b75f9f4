"""For each refusal of an answer and of a receipt: take it away, and the named vectors must notice."""

from types import SimpleNamespace

import pytest

from rolltape.testing import answer_vectors, body_vectors, receipt_vectors
from tests.unit.wire_planting import Bug, planted, refusals_without_a_bug

ANSWERS = {case["name"]: case for case in answer_vectors.load()["vectors"]}
RECEIPTS = {case["name"]: case for case in receipt_vectors.load()["vectors"]}
BODIES = {case["name"]: case for case in receipt_vectors.load()["bodies"]}

ANSWER_BUGS = [
    Bug("iss is not looked at", "if answer.iss != iss:", "if False:", ("another deployment's",)),
    Bug("aud is not looked at", "if answer.aud != aud:", "if False:", ("for another device",)),
    Bug("the nonce is not looked at", "if answer.nonce != nonce:", "if False:", ("yesterday's nonce",)),
    Bug(
        "a missing claim escapes",
        "except KeyError as error:",
        "except ZeroDivisionError as error:",
        ("without nonce", "without aud", "no claims"),
        "answer",
    ),
    Bug(
        "claims of any kind",
        "if type(said) is not dict or type(said[ANSWER]) is not list:",
        "if type(said[ANSWER]) is not list:",
        ("claims that are text", "claims in an array"),
    ),
    Bug(
        "facts of any kind",
        "if type(said) is not dict or type(said[ANSWER]) is not list:",
        "if type(said) is not dict:",
        ("facts is a number", "facts is null"),
    ),
    Bug(
        "go of any kind",
        "if go is not None and type(go) is not bool:",
        "if False:",
        ("go is 1", "go is text"),
    ),
    Bug("absent is go", "        go=go,", "        go=True if go is None else go,", ("go absent: neither",)),
    Bug("a no is no word", "        go=go,", "        go=go or None,", ("no go",)),
    Bug(
        "a hash of any length",
        "if sha256 is not None and (type(sha256) is not bytes or len(sha256) != 32):",
        "if sha256 is not None and type(sha256) is not bytes:",
        ("a hash of 31 bytes",),
    ),
    Bug(
        "a hash of any kind",
        "if sha256 is not None and (type(sha256) is not bytes or len(sha256) != 32):",
        "if sha256 is not None and len(sha256) != 32:",
        ("a hash that is text",),
    ),
    Bug(
        "any status",
        "if not 0 <= number(code) < len(_STATUSES):",
        "if False:",
        ("a status that nobody knows", "a status below nothing"),
    ),
    Bug("no status below nothing", "if not 0 <= number(code) <", "if not number(code) <", ("a status below nothing",)),
    Bug(
        "any number",
        "if not 0 <= number(value) < 2**63:",
        "if False:",
        ("now is less than nothing", "a floor that is 2 to the 63rd"),
    ),
    Bug(
        "exactly the facts that are known",
        "sha256 = (said[ANSWER] + [None] * _FIELDS)[:_FIELDS]",
        "sha256 = said[ANSWER] + [None] * (_FIELDS - len(said[ANSWER]))",
        ("facts that nobody knows behind",),
    ),
    Bug(
        "a floor of nothing is none",
        "None if seq_floor is None else count(seq_floor)",
        "count(seq_floor) if seq_floor else None",
        ("a floor of nothing",),
    ),
    Bug(
        "an id is any text",
        "if isinstance(packed, str) and is_id(prefix, packed):",
        "if isinstance(packed, str):",
        ("jti as the text of no id", "jti as the text of another kind of id"),
    ),
    Bug("any key", "if not envelope.is_by(key):", "if False:", ("by a stranger under our kid",), "cose"),
]

RECEIPT_BUGS = [
    Bug("any length", "if len(text) > MAX_TEXT:", "if False:", ("too long",)),
    Bug(
        "a missing claim escapes",
        "except (KeyError, RecursionError) as error:",
        "except RecursionError as error:",
        ("without aud, compact", "no claims"),
    ),
    Bug(
        "deep JSON escapes",
        "except (KeyError, RecursionError) as error:",
        "except KeyError as error:",
        ("facts nested too deep",),
    ),
    Bug(
        "anybody's envelope",
        "if envelope.is_mac or not envelope.is_by(key):",
        "if False:",
        (
            "signed by the deployment, compact",
            "a bit flipped in signature, S, last byte",
        ),
    ),
    Bug(
        "claims of any kind",
        "if type(said) is not dict or type(said[RECEIPT]) is not list:",
        "if type(said[RECEIPT]) is not list:",
        ("claims that are a number", "claims that are text"),
    ),
    Bug(
        "facts of any kind",
        "if type(said) is not dict or type(said[RECEIPT]) is not list:",
        "if type(said) is not dict:",
        ("facts is a number, compact", "facts is null, compact"),
    ),
    Bug(
        "any status",
        "if not 0 <= number(status) < len(_SAID):",
        "if False:",
        ("a status that nobody knows, compact", "status is less than 0, compact", "status is null, compact"),
    ),
    Bug("more parts", "if len(parts) != 3:", "parts = parts[:3]\n    if len(parts) < 3:", ("four parts",), "receipt"),
    Bug(
        "alg is not looked at",
        'if said_of.alg != "EdDSA" or key.alg != "EdDSA" or said_of.crit is not msgspec.UNSET:',
        'if key.alg != "EdDSA" or said_of.crit is not msgspec.UNSET:',
        ("alg none, in JSON",),
    ),
    Bug(
        "what must be understood is passed over",
        'if said_of.alg != "EdDSA" or key.alg != "EdDSA" or said_of.crit is not msgspec.UNSET:',
        'if said_of.alg != "EdDSA" or key.alg != "EdDSA":',
        ("something that must be understood, in JSON", "something that must be understood, null"),
    ),
    Bug(
        "anybody's JWS",
        'if not key.verifies(f"{parts[0]}.{parts[1]}".encode("ascii"), signature):',
        "if False:",
        (
            "signed by the deployment, in JSON",
            "an HMAC that says EdDSA, in JSON",
            "a bit flipped in the signature of a JWS",
        ),
    ),
    Bug("any device", 'if not is_id("dev", receipt.device):', "if False:", ("device is 'dev_', in JSON",)),
    Bug(
        "any command",
        'if receipt.jti is not None and not is_id("cmd", receipt.jti):',
        "if False:",
        ("jti is 'cmd_', in JSON",),
    ),
    Bug(
        "any recording",
        'if receipt.recording_id is not None and not is_id("rec", receipt.recording_id):',
        "if False:",
        ("recording_id is 'rec_', in JSON",),
    ),
    Bug("any deployment", "    iss_bytes(receipt.aud)\n", "", ("aud is '1F2E3D4C5B6A7988', in JSON",)),
    Bug(
        "a deployment of any form",
        "if len(data) != ISS_BYTES or data.hex() != iss:",
        "if len(data) != ISS_BYTES:",
        ("aud is '1F2E3D4C5B6A7988', in JSON",),
    ),
    Bug(
        "a deployment of any length",
        "if len(data) != ISS_BYTES or data.hex() != iss:",
        "if data.hex() != iss:",
        ("aud is '1f2e3d4c5b6a79', in JSON",),
    ),
    Bug(
        "a hash of any length",
        "if receipt.hash is not None and (type(receipt.hash) is not bytes or len(receipt.hash) != 32):",
        "if receipt.hash is not None and type(receipt.hash) is not bytes:",
        ("hash is of 31 bytes, compact",),
    ),
    Bug(
        "a hash of any kind",
        "if receipt.hash is not None and (type(receipt.hash) is not bytes or len(receipt.hash) != 32):",
        "if receipt.hash is not None and len(receipt.hash) != 32:",
        ("hash is text, compact",),
    ),
    Bug("any generation", "    count(receipt.gen)\n", "", ("gen is -1, in JSON",)),
    Bug(
        "any counter", "    count(receipt.counter)\n", "", ("counter is -1, in JSON", "counter is less than 0, compact")
    ),
]

BODY_BUGS = [
    Bug(
        "as it was sent",
        "hashlib.sha256(rfc8785.dumps(value))",
        "hashlib.sha256(body)",
        ("blanks and line feeds", "another order of keys", "the number 1.0", "the receipt is left out"),
    ),
    Bug(
        "the receipt stays",
        '        value.pop("receipt", None)\n',
        "",
        ("the receipt is left out", "the receipt alone"),
    ),
    Bug("any value", "if not isinstance(value, dict):", "if False:", ("an array: no form", "a text: no form")),
    Bug(
        "unreadable bodies escape",
        "except (Problem, rfc8785.CanonicalizationError, msgspec.DecodeError, RecursionError) as error:",
        "except ZeroDivisionError as error:",
        ("a NUL character: no form", "nested hundreds deep: no form"),
    ),
    Bug("anything in it", "        check_values(value)\n", "", ("a NUL character: no form",)),
    Bug(
        "Python's own form",
        "rfc8785.dumps(value)",
        "__import__('json').dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=False).encode()",
        ("the number 1.0", "keys by their UTF-16 units", "the number 0.0000001"),
    ),
]


def wrong_answers(wire: SimpleNamespace) -> set[str]:
    run = answer_vectors.run
    return {
        name for name, case in ANSWERS.items() if run(case, wire.answer, wire.keys) != answer_vectors.expected(case)
    }


def wrong_receipts(wire: SimpleNamespace) -> set[str]:
    run = receipt_vectors.run
    known = receipt_vectors.expected
    return {name for name, case in RECEIPTS.items() if run(case, wire.receipt, wire.keys) != known(case)}


def wrong_bodies(wire: SimpleNamespace) -> set[str]:
    return {name for name, case in BODIES.items() if body_vectors.run_body(case, wire.receipt) != case["hash"]}


@pytest.mark.parametrize("bug", ANSWER_BUGS, ids=[bug.name for bug in ANSWER_BUGS])
def test_a_bug_planted_in_the_answers_is_caught(bug: Bug) -> None:
    with planted(bug) as wire:
        caught(bug, wrong_answers(wire))


@pytest.mark.parametrize("bug", RECEIPT_BUGS, ids=[bug.name for bug in RECEIPT_BUGS])
def test_a_bug_planted_in_the_receipts_is_caught(bug: Bug) -> None:
    with planted(bug) as wire:
        caught(bug, wrong_receipts(wire))


@pytest.mark.parametrize("bug", BODY_BUGS, ids=[bug.name for bug in BODY_BUGS])
def test_a_bug_planted_in_the_hash_of_a_body_is_caught(bug: Bug) -> None:
    with planted(bug) as wire:
        caught(bug, wrong_bodies(wire))


def caught(bug: Bug, wrong: set[str]) -> None:
    assert wrong, f"nobody noticed: {bug.name}"
    assert set(bug.caught_by) <= wrong, set(bug.caught_by) - wrong


UNIT_TESTED = {
    "if len(answer.nonce) != NONCE_BYTES:",  # when it is made: test_cwt
    "if type(nonce) is not bytes or len(nonce) != NONCE_BYTES:",  # another nonce than the device's, in any case
}


@pytest.mark.parametrize("module", ["answer", "receipt"])
def test_every_place_that_refuses_has_a_bug_planted_in_it(module: str) -> None:
    bugs = ANSWER_BUGS + RECEIPT_BUGS + BODY_BUGS
    assert set(refusals_without_a_bug(module, bugs, ("raise ValueError",))) <= UNIT_TESTED
