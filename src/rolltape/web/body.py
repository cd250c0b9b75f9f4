"""Bodies: read within a limit, decoded strictly, and refused with words that name the field.

The quick way is one call of a decoder. Only what that refuses, or what looks as if it might hold something that the
decoder lets through (NUL characters, very large integers, deep nesting), is looked at again, slowly.
"""

import asyncio
import re
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.inspect import (
    DictType,
    ListType,
    LiteralType,
    Metadata,
    NoneType,
    RawType,
    StructType,
    Type,
    UnionType,
    type_info,
)

from rolltape.codes import Code, Problem
from rolltape.web.call import Call, ClientGone, Message
from rolltape.web.mending import mended
from rolltape.wire.values import check_values, is_suspect, not_json, read_any, too_deep

T = TypeVar("T")
BODY_SECONDS = 30
"""A caller that sends its body drop by drop holds a connection and nothing else, and not for long."""
_NOWHERE = "Send JSON as in /docs."
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<where>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>.*)`$")


async def read_body(call: Call[Any, Any], limit: int) -> bytes:
    """The whole body. `Problem` when it is longer than `limit` bytes; `ClientGone` when the client gives up."""
    declared = call.headers.get(b"content-length")
    if declared is not None and declared.isdigit() and int(declared[-18:]) > limit:
        raise too_large(limit)
    message = await call.receive()
    data: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body"):
        if len(data) > limit:
            raise too_large(limit)
        return data
    try:
        async with asyncio.timeout(
            BODY_SECONDS
        ):  # only here: most bodies come whole, and a timer costs as much as they
            return await _with_the_rest(call, message, limit)
    except TimeoutError:
        raise Problem(
            Code.INVALID_REQUEST, f"The body did not come within {BODY_SECONDS} s. Nothing was done; send it again."
        ) from None


async def _with_the_rest(call: Call[Any, Any], message: Message, limit: int) -> bytes:
    parts = bytearray(message.get("body", b""))
    while message["type"] == "http.request" and message.get("more_body"):
        message = await call.receive()
        parts += message.get("body", b"")
        if len(parts) > limit:
            raise too_large(limit)
    if message["type"] != "http.request":
        raise ClientGone
    return bytes(parts)


def too_large(limit: int) -> Problem:
    """The refusal of a body over `limit` bytes."""
    return Problem(
        Code.PAYLOAD_TOO_LARGE,
        f"The body is larger than {limit} bytes. Nothing was done; send less.",
        details={"limit_bytes": limit},
    )


def check_content_type(value: bytes | None) -> None:
    """`Problem` when a body says that it isn't JSON in UTF-8. Saying nothing is fine."""
    if value is None or value == b"application/json":
        return
    media_type, _, params = value.lower().partition(b";")
    charset = params.replace(b'"', b"").replace(b" ", b"")
    if media_type.strip() == b"application/json" and charset in (b"", b"charset=utf-8", b"charset=utf8"):
        return
    raise Problem(
        Code.INVALID_REQUEST,
        "The body must be JSON in UTF-8: send the header Content-Type: application/json.",
        param="Content-Type",
    )


class BodyDecoder(Generic[T]):
    """Decodes one type of body."""

    def __init__(self, type_: type[T], *, optional: bool) -> None:
        self._info = type_info(type_)
        self._decode = msgspec.json.Decoder(type_).decode
        self._apart = _read_apart(self._info)
        self._default: T | None = type_() if optional else None

    def decode(self, data: bytes) -> T:
        """The body. `Problem`, naming what is wrong and where, when it isn't one."""
        if not data.strip():
            if self._default is None:
                raise Problem(Code.INVALID_REQUEST, f"The body is empty. {_NOWHERE}")
            return self._default
        try:
            value = self._decode(data)
        except msgspec.ValidationError as error:
            raise self._refusal(data, error) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            readable = mended(data, self._apart) if self._apart else None
            if readable is None:
                raise not_json(error) from None
            return self.decode(readable)
        except RecursionError:
            raise too_deep() from None
        if is_suspect(data):
            self._check(data)
        return value

    def _check(self, data: bytes) -> None:
        if not self._apart:
            check_values(read_any(data))
            return
        for name, value in _decode_fields(data).items():
            if name not in self._apart:
                check_values(read_any(value))

    def _refusal(self, data: bytes, error: msgspec.ValidationError) -> Problem:
        unknown = find_unknown(read_any(data), self._info)
        return unknown_fields(unknown) if unknown else refusal(error, info=self._info)


def _read_apart(info: Type) -> frozenset[str]:
    """The fields whose items are read one by one, later: a wrong item must not fail the others."""
    if not isinstance(info, StructType):
        return frozenset()
    return frozenset(field.encode_name for field in info.fields if _is_raw(field.type))


def _is_raw(info: Type) -> bool:
    while isinstance(info, Metadata):
        info = info.type
    if isinstance(info, UnionType):
        return any(_is_raw(kind) for kind in info.types)
    return isinstance(info, RawType) or (isinstance(info, ListType) and _is_raw(info.item_type))


def refusal(
    error: msgspec.ValidationError, *, what: str = "Correct it and send the request again.", info: Type | None = None
) -> Problem:
    """What the decoder says, in the shape of a `Problem`: the field in `param`, the rule in the message.

    With `info`, the type that was decoded, a value that isn't one of a few is told those few.
    """
    match = _AT.match(str(error))
    assert match is not None
    rule, where = match["what"], match["where"] or ""
    missing = _MISSING.match(rule)
    if missing:
        where = f"{where}.{missing['name']}" if where else missing["name"]
        rule = "it is required"
    choices = _choices(info, where) if info is not None and rule.startswith("Invalid enum value") else ()
    if choices:
        rule += f"; it is one of {', '.join(str(choice) for choice in choices)}"
    if len(rule) > 200:
        rule = rule[:200] + "…"
    rule = rule[0].lower() + rule[1:]
    text = f"`{where}`: {rule}. {what}" if where else f"The body is wrong: {rule}. {what}"
    return Problem(Code.INVALID_REQUEST, text, param=where or None)


def _choices(info: Type, where: str) -> tuple[Any, ...]:
    """The values that the field at `where` (a.b[...].c) may have, where those are listed."""
    for name in re.findall(r"[^.\[\]]+", where):
        info = _within(info, name)
    info = _plain(info)
    return tuple(info.values) if isinstance(info, LiteralType) else ()


def _plain(info: Type) -> Type:
    """A type without its limits, and without None."""
    while isinstance(info, Metadata):
        info = info.type
    if isinstance(info, UnionType):
        real = [kind for kind in info.types if not isinstance(kind, NoneType)]
        return _plain(real[0]) if len(real) == 1 else info
    return info


def _within(info: Type, name: str) -> Type:
    info = _plain(info)
    if isinstance(info, ListType):
        return info.item_type
    if isinstance(info, StructType):
        return next((field.type for field in info.fields if field.encode_name == name), info)
    return info


def unknown_fields(names: list[str]) -> Problem:
    """The refusal that names all unknown fields (the first 50 of them)."""
    shown = [name if len(name) <= 100 else name[:100] + "…" for name in names[:50]]
    listed = ", ".join(f"`{name}`" for name in shown)
    return Problem(
        Code.INVALID_REQUEST,
        f"Unknown fields: {listed}. Leave them out, or correct their names.",
        param=shown[0],
        details={"unknown": shown},
    )


def find_unknown(value: Any, info: Type, path: str = "") -> list[str]:
    """The paths of all fields in `value` that `info`, where it forbids unknown ones, doesn't have."""
    if isinstance(info, UnionType):
        return next((found for kind in info.types if (found := find_unknown(value, kind, path))), [])
    if isinstance(info, ListType) and isinstance(value, list):
        return [name for i, item in enumerate(value) for name in find_unknown(item, info.item_type, f"{path}[{i}]")]
    if isinstance(info, DictType) and isinstance(value, dict):
        return [name for key, item in value.items() for name in find_unknown(item, info.value_type, _join(path, key))]
    if isinstance(info, StructType) and isinstance(value, dict):
        return _unknown_of_struct(value, info, path)
    return []


def _unknown_of_struct(value: dict[str, Any], info: StructType, path: str) -> list[str]:
    known = {field.encode_name: field.type for field in info.fields}
    names: list[str] = []
    for key, item in value.items():
        if key in known:
            names += find_unknown(item, known[key], _join(path, key))
        elif info.cls.__struct_config__.forbid_unknown_fields:
            names.append(_join(path, key))
    return names


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
