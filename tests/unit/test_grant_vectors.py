"""The shipped vectors are what the generator makes, and the grant check answers to each as they say."""

import pytest

from rolltape.codes import Failure
from rolltape.testing.grant_vectors import FILE, build, each, run, to_json
from rolltape.testing.vector_world import Vector

VECTORS = each()


def test_the_shipped_file_is_what_the_generator_makes() -> None:
    assert FILE.read_text("ascii") == to_json(build())


def test_no_two_vectors_have_one_name() -> None:
    names = [case["name"] for case in VECTORS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", VECTORS, ids=[case["name"] for case in VECTORS])
def test_the_check_answers_as_the_vector_says(case: Vector) -> None:
    assert run(case) == case["expect"]


def test_the_vectors_know_every_refusal_that_a_grant_alone_can_bring() -> None:
    answers = {case["expect"] for case in VECTORS}
    refusals = {Failure.GRANT_INVALID, Failure.GRANT_EXPIRED, Failure.GRANT_REPLAYED, Failure.SUPERSEDED}
    assert answers == {"ok", *(str(code) for code in refusals), str(Failure.CLOCK_UNKNOWN)}
