"""Which JSON is worth a slow look, told by three quick passes; and ids that are made quickly."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolltape.wire.ids import is_id, new_request_id
from rolltape.wire.values import MAX_DEPTH, is_suspect

_BY_THE_BOOK = re.compile(rb"\\u0000|[0-9]{19}")


_PIECES = ("\\u0000", "\\", "u000", "0", "7" * 9, "123456789", "1" * 18, "-", "x", "[", "{" * 30)


@given(st.lists(st.sampled_from(_PIECES), max_size=12).map(lambda pieces: "".join(pieces).encode()))
def test_it_is_what_an_expression_would_find(data: bytes) -> None:
    deep = data.count(b"[") + data.count(b"{") > MAX_DEPTH
    assert is_suspect(data) is (_BY_THE_BOOK.search(data) is not None or deep)


@pytest.mark.parametrize("digits", ["9" * 19, "0" * 19, "1234567890123456789", "-9223372036854775809"])
def test_a_number_that_may_not_fit_is_looked_at(digits: str) -> None:
    assert is_suspect(f'{{"n": {digits}}}'.encode())
    assert not is_suspect(f'{{"n": {digits[:-2]}, "m": 0}}'.encode())


def test_ids_of_requests_are_ids_and_none_comes_twice() -> None:
    made = {new_request_id(1_764_100_000_000) for _ in range(5000)}
    assert len(made) == 5000
    assert all(is_id("req", text) and len(text) == 26 for text in made)
    assert len({text[:12] for text in made}) == 1
    assert new_request_id(1_764_100_000_001)[:12] > min(made)[:12]
    assert {digit for text in made for digit in text[12:]} == set(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    )
