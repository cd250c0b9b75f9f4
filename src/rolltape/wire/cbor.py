"""CBOR (RFC 8949) as it travels here: JSON's kinds of values and byte strings, in the one deterministic encoding.

Bytes that another encoding could stand for are refused, so that each value has one form: definite lengths, shortest
integers and floats, map keys in the order of their bytes (section 4.2.1), none twice, no tags. What is not a value of
JSON is refused too: NaN, infinities, `undefined` and other simple values, integers beyond 64 bits.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final, NoReturn

import cbor2

MAX_DEPTH: Final = 8
"""The deepest nesting of arrays and maps that is read or written."""
_LIST, _DICT = 4, 5


def encode(value: Any) -> bytes:
    """The deterministic encoding of None, bool, int, float, str, bytes, lists, and dicts with int or str keys.

    ValueError for anything else, and for what `decode` would not read.
    """
    return _encode(value, MAX_DEPTH)


def decode(data: bytes, most: int) -> Any:
    """The value of at most `most` bytes. ValueError for more, or for anything but a deterministic encoding."""
    if len(data) > most:
        raise ValueError(f"{len(data)} bytes, more than {most}")
    try:
        value = cbor2.loads(
            data,
            max_depth=MAX_DEPTH,
            semantic_decoders=_NO_TAGS,
            tag_hook=_no_tag,
        )
    except (cbor2.CBORError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"not CBOR as it travels here: {type(error).__name__}") from None
    # that leaves indefinite and long forms, keys twice or in another order, and bytes behind
    if _encode(value, MAX_DEPTH) != data:
        raise ValueError("not the deterministic encoding")
    return value


def _no_tag(*_: Any) -> NoReturn:
    raise ValueError("a tag")


class _NoTags(Mapping[int, Callable[..., NoReturn]]):
    """Refuses each tag before what it tags is looked at: these bytes are nobody's word until a signature is checked,
    and the library would make dates, patterns, messages and references to other parts of them."""

    def __getitem__(self, tag: int) -> Callable[..., NoReturn]:
        return _no_tag

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


_NO_TAGS: Final = _NoTags()


def _write(out: bytearray, value: Any, depth: int) -> None:
    kind = type(value)
    if kind is list or kind is dict:
        if depth == 0:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        _write_list(out, value, depth - 1) if kind is list else _write_dict(out, value, depth - 1)
        return
    if kind not in _SCALARS or (kind is float and not math.isfinite(value)):
        raise ValueError(f"a {kind.__name__} that JSON does not have")
    if kind is int and not -(2**63) <= value < 2**64:
        raise ValueError("an integer of more than 64 bits")
    out += cbor2.dumps(value, canonical=True)


_SCALARS: Final = frozenset((type(None), bool, int, float, str, bytes))


def _write_list(out: bytearray, items: list[Any], depth: int) -> None:
    out += _head(_LIST, len(items))
    for item in items:
        _write(out, item, depth)


def _write_dict(out: bytearray, items: dict[Any, Any], depth: int) -> None:
    if any(type(key) not in (int, str) for key in items):
        raise ValueError("a map key that is no number and no text")
    out += _head(_DICT, len(items))
    # by the bytes of the keys; the library's own order is that of RFC 7049, shorter keys first
    for key, item in sorted(((_encode(key, 0), item) for key, item in items.items()), key=itemgetter(0)):
        out += key
        _write(out, item, depth)


def _head(major: int, count: int) -> bytes:
    """The head of an array or a map: an integer's own bytes (section 3), under another major type."""
    number = cbor2.dumps(count)
    return bytes([number[0] | major << 5]) + number[1:]


def _encode(value: Any, depth: int) -> bytes:
    out = bytearray()
    _write(out, value, depth)
    return bytes(out)
