"""Query strings into structs.

What may be repeated becomes a list, numbers and booleans are read exactly, and what isn't known is named or, on device
paths, ignored.
"""

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec.inspect import (
    BoolType,
    FloatType,
    IntType,
    ListType,
    Metadata,
    NoneType,
    StructType,
    Type,
    UnionType,
    type_info,
)

from rolltape.codes import Code, Problem
from rolltape.web.body import refusal

T = TypeVar("T")
MAX_FIELDS = 100
_INTEGER = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)


def _integer(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise _wrong(name, "a whole number")
    return int(text)


def _number(name: str, text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise _wrong(name, "a number, like 20 or 2.5")
    return float(text)


def _boolean(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise _wrong(name, "true or false")
    return text == "true"


def _text(name: str, text: str) -> str:
    if "\0" in text:
        raise _wrong(name, "text without NUL characters")
    return text


Reader = Callable[[str, str], object]


class QueryDecoder(Generic[T]):
    """Decodes the query string of one operation."""

    def __init__(self, type_: type[T], *, lenient: bool) -> None:
        info = type_info(type_)
        assert isinstance(info, StructType)
        self._type = type_
        self._lenient = lenient
        self._readers = {field.encode_name: _reader(field.type) for field in info.fields}
        self._empty = None if any(field.required for field in info.fields) else type_()

    def decode(self, query_string: bytes) -> T:
        """`Problem`, naming the parameter, when it is wrong."""
        if not query_string and self._empty is not None:
            return self._empty
        values: dict[str, Any] = {}
        unknown: dict[str, None] = {}
        for name, text in _pairs(query_string):
            if name in self._readers:
                self._add(values, name, text)
            else:
                unknown[name] = None
        if unknown and not self._lenient:
            raise _unknown(list(unknown))
        try:
            return msgspec.convert(values, self._type)
        except msgspec.ValidationError as error:
            raise refusal(error, what="Correct the query parameter.") from None

    def _add(self, values: dict[str, Any], name: str, text: str) -> None:
        reader, repeatable = self._readers[name]
        value = reader(name, text)
        if repeatable:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise Problem(Code.INVALID_REQUEST, f"`{name}` is in the query more than once. Send it once.", param=name)
        else:
            values[name] = value


def no_query(query_string: bytes) -> None:
    """For an operation without query parameters on a backend path: `Problem` when there are any."""
    if query_string and (pairs := _pairs(query_string)):
        raise _unknown(list(dict(pairs)))


def _pairs(query_string: bytes) -> list[tuple[str, str]]:
    try:
        text = query_string.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Problem(
            Code.INVALID_REQUEST,
            f"The query can't be read: percent-encode it in UTF-8, and send at most {MAX_FIELDS} parameters.",
        ) from None


def _reader(info: Type) -> tuple[Reader, bool]:
    """How to read one value of that type, and whether there may be several."""
    while isinstance(info, Metadata):
        info = info.type
    if isinstance(info, UnionType):
        return _reader(next(kind for kind in info.types if not isinstance(kind, NoneType)))
    if isinstance(info, ListType):
        return _reader(info.item_type)[0], True
    if isinstance(info, BoolType):
        return _boolean, False
    if isinstance(info, IntType):
        return _integer, False
    return (_number, False) if isinstance(info, FloatType) else (_text, False)


def _wrong(name: str, kind: str) -> Problem:
    return Problem(Code.INVALID_REQUEST, f"`{name}` in the query must be {kind}.", param=name)


def _unknown(names: list[str]) -> Problem:
    shown = [name if len(name) <= 100 else name[:100] + "…" for name in names[:50]]
    listed = ", ".join(f"`{name}`" for name in shown)
    return Problem(
        Code.INVALID_REQUEST,
        f"Unknown query parameters: {listed}. Leave them out, or correct their names.",
        param=shown[0],
        details={"unknown": shown},
    )
