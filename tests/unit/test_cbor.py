"""CBOR on the air: each value has one form, and no bytes whatever bring anything but a value or a ValueError."""

from typing import Any

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rolltape.wire import cbor

KEYS = st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.binary(max_size=30)
)


def nested(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(children, max_size=4) | st.dictionaries(KEYS, children, max_size=4)


VALUES = st.recursive(SCALARS, nested, max_leaves=12).filter(lambda value: depth(value) <= cbor.MAX_DEPTH)


def depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth, inside), default=0)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_what_was_written_is_what_is_read_by_anybody(value: Any) -> None:
    data = cbor.encode(value)
    for read in (cbor.decode(data, len(data)), cbor2.loads(data)):
        assert read == value
        assert cbor.encode(read) == data


@given(st.binary(max_size=64))
@settings(max_examples=1000, deadline=None)
@example(b"")
@example(b"\xd8\x23\x65[[a-b")  # a pattern, by its tag: the library would compile it, and warn
@example(b"\xd8\x24\x61x")  # a message, by its tag
@example(b"\xd8\x1c\x81\xd8\x1d\x00")  # an array that holds itself
@example(b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x03")  # three times ten to the 2^63
@example(b"\xa1\x80\x00")  # an array for a key
@example(b"\x81" * 64)
@example(b"\x5b" + b"\xff" * 8)
def test_any_bytes_are_a_value_in_its_one_form_or_a_value_error(data: bytes) -> None:
    try:
        value = cbor.decode(data, 64)
    except ValueError:
        return
    assert cbor.encode(value) == data


@given(VALUES, st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_another_value_or_a_value_error(value: Any, draw: st.DataObject) -> None:
    data = bytearray(cbor.encode(value))
    data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    test_any_bytes_are_a_value_in_its_one_form_or_a_value_error.hypothesis.inner_test(bytes(data[:64]))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**64,
        -(2**63) - 1,
        (1,),
        {1},
        {True: 1},
        {1.0: 1},
        {b"a": 1},
        {None: 1},
        "\ud800",
        {"\ud800": 1},
        bytearray(b"a"),
        [[[[[[[[[]]]]]]]]],
    ],
    ids=repr,
)
def test_what_could_not_be_read_is_not_written(value: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        cbor.encode(value)


def test_keys_are_in_the_order_of_their_bytes() -> None:
    assert (
        cbor.encode({"aa": 0, "b": 0, -1: 0, 1000: 0, 24: 0, "": 0}).hex() == "a61818001903e8002000600061620062616100"
    )


def test_more_bytes_than_allowed_are_not_looked_at() -> None:
    assert cbor.decode(b"\x00", 1) == 0
    with pytest.raises(ValueError, match="more than 0"):
        cbor.decode(b"\x00", 0)


@pytest.mark.parametrize(
    "tagged",
    [
        "c074323031332d30332d32315432303a30343a30305a",
        "c11a514b67b0",
        "c24101",
        "c48201196ab3",
        "d81900",
        "d81c80",
        "d81e820102",
        "d823616b",
        "d824616b",
        "d9010080",
        "d9010280",
        "d9010444c00a0a01",
        "d9a7f8820102",
        "d9d9f700",
        "d9ffff00",
    ],
)
def test_a_tag_is_refused_before_anything_is_made_of_it(tagged: str) -> None:
    """These bytes may be anybody's: no date, no pattern and no message is made before a signature was checked."""
    with pytest.raises(ValueError, match="not CBOR as it travels here: CBORDecodeError"):
        cbor.decode(bytes.fromhex(tagged), 64)
