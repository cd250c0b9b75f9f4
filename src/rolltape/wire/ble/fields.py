"""The parts of a message's body, read with care: ValueError for whatever isn't what it should be."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from rolltape.wire import cbor

T = TypeVar("T")
GREATEST: Final = 2**53 - 1
"""No number in a message is greater: each fits the numbers of every language."""
MAX_TEXT: Final = 1024


def items(body: bytes, count: int, most: int) -> list[Any]:
    """The first `count` items of the list that the body is; what comes behind them is for later versions."""
    value = cbor.decode(body, most)
    if type(value) is not list or len(value) < count:
        raise ValueError(f"not a list of {count} items")
    return value[:count]


def mapping(body: bytes, most: int) -> dict[Any, Any]:
    """The map that the body is. Keys that aren't known are for later versions."""
    value = cbor.decode(body, most)
    if type(value) is not dict:
        raise ValueError("not a map")
    return value


def number(value: object, most: int = GREATEST, least: int = 0) -> int:
    """A whole number from `least` to `most` (True is none)."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"not a whole number from {least} to {most}")
    return value


def flag(value: object) -> bool:
    """True or false, and nothing that is merely like it."""
    if type(value) is not bool:
        raise ValueError("not true or false")
    return value


def blob(value: object, most: int, least: int = 1) -> bytes:
    """A byte string of `least` to `most` bytes."""
    if type(value) is not bytes or not least <= len(value) <= most:
        raise ValueError(f"not a byte string of {least} to {most} bytes")
    return value


def text(value: object) -> str:
    """A text of at most MAX_TEXT characters."""
    if type(value) is not str or len(value) > MAX_TEXT:
        raise ValueError(f"not a text of at most {MAX_TEXT} characters")
    return value


def maybe(read: Callable[[object], T], value: object) -> T | None:
    """What `read` makes of it, or None for null."""
    return None if value is None else read(value)


def nothing(body: bytes) -> None:
    """The body of a message that has none."""
    if body:
        raise ValueError(f"a body of {len(body)} bytes where there is none")
