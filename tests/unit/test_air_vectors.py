"""The shipped vectors of answers and receipts are what the generators make, and the code answers as they say."""

from types import ModuleType

import pytest

from rolltape.testing import answer_vectors, body_vectors, receipt_vectors
from rolltape.testing.vector_world import DEVICE_SIGNER, Vector
from rolltape.wire import receipt
from rolltape.wire.keys import b64url, un_b64url

ANSWERS = answer_vectors.load()["vectors"]
RECEIPTS = receipt_vectors.load()["vectors"]
BODIES = receipt_vectors.load()["bodies"]


def names(cases: list[Vector]) -> list[str]:
    return [case["name"] for case in cases]


@pytest.mark.parametrize("made", [answer_vectors, receipt_vectors], ids=["answers", "receipts"])
def test_the_shipped_file_is_what_the_generator_makes(made: ModuleType) -> None:
    assert made.FILE.read_text("ascii") == made.to_json(made.build())


@pytest.mark.parametrize("cases", [ANSWERS, RECEIPTS, BODIES], ids=["answers", "receipts", "bodies"])
def test_no_two_vectors_have_one_name(cases: list[Vector]) -> None:
    assert len(names(cases)) == len(set(names(cases)))


@pytest.mark.parametrize("case", ANSWERS, ids=names(ANSWERS))
def test_an_answer_is_taken_as_its_vector_says(case: Vector) -> None:
    assert answer_vectors.run(case) == answer_vectors.expected(case)


@pytest.mark.parametrize("case", RECEIPTS, ids=names(RECEIPTS))
def test_a_receipt_is_taken_as_its_vector_says(case: Vector) -> None:
    assert receipt_vectors.run(case) == receipt_vectors.expected(case)


@pytest.mark.parametrize("case", BODIES, ids=names(BODIES))
def test_a_body_has_the_hash_that_its_vector_says(case: Vector) -> None:
    assert body_vectors.run_body(case) == case["hash"]


def as_told() -> list[Vector]:
    """The good receipts that have nothing in them but what the reference signer puts there."""
    extra = ("nobody knows", "key's id")
    return [case for case in RECEIPTS if case["expect"] == "ok" and not any(part in case["name"] for part in extra)]


@pytest.mark.parametrize("case", as_told(), ids=names(as_told()))
def test_the_signer_makes_the_good_receipts(case: Vector) -> None:
    said = case["says"]
    word = receipt.Receipt(**said | ({"hash": un_b64url(said["hash"])} if "hash" in said else {}))
    if case["name"].endswith("compact"):
        assert b64url(receipt.sign(word, DEVICE_SIGNER)) == case["receipt"]
    else:
        assert receipt.read(receipt.sign_jws(word, DEVICE_SIGNER), receipt_vectors.device_key()) == word
