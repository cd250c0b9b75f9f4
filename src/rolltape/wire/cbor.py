"""CBOR (RFC 8949) as it travels here: JSON's kinds of values and byte strings, in the one deterministic encoding.

Bytes that another encoding could stand for are refused, so that each value has one form: definite lengths, shortest
integers, map keys in order (section 4.2.1), none twice, no tags.
"""

from typing import Any, Final

import cbor2

MAX_DEPTH: Final = 8
"""The deepest nesting of arrays and maps that is read."""


def encode(value: Any) -> bytes:
    """The deterministic encoding of None, bool, int, float, str, bytes, lists, and dicts with int or str keys."""
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, most: int) -> Any:
    """The value of at most `most` bytes. ValueError for more, or for anything but a deterministic encoding."""
    if len(data) > most:
        raise ValueError(f"{len(data)} bytes, more than {most}")
    try:
        value = cbor2.loads(
            data, max_depth=MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False, tag_hook=_no_tag
        )
        _check(value)
        same = encode(value) == data
    except (cbor2.CBORError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"not CBOR as it travels here: {type(error).__name__}") from None
    if not same:
        raise ValueError("not the deterministic encoding")
    return value


def _no_tag(*_: Any) -> Any:
    raise ValueError("a tag")


def _check(value: Any) -> None:
    """ValueError for what JSON and byte strings don't have: built-in tags leave dates, fractions, sets and the like."""
    if type(value) is list:
        for item in value:
            _check(item)
    elif type(value) is dict:
        for key, item in value.items():
            if type(key) not in (int, str):
                raise ValueError("a map key that is no number and no text")
            _check(item)
    elif value is not None and type(value) not in (bool, int, float, str, bytes):
        raise ValueError(f"a {type(value).__name__}")
    elif type(value) is int and not -(2**63) <= value < 2**64:
        raise ValueError("an integer of more than 64 bits")
