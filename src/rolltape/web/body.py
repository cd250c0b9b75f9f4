"""Bodies: read within a limit, decoded strictly, and refused with words that name the field.

The quick way is one call of a decoder. Only what that refuses, or what looks as if it might hold something that the
decoder lets through (NUL characters, very large integers, deep nesting), is looked at again, slowly.
"""

import re
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec.inspect import DictType, ListType, StructType, Type, UnionType, type_info

from rolltape.codes import Code, Problem
from rolltape.web.call import Call, ClientGone

T = TypeVar("T")
MAX_DEPTH: Final = 64
"""The deepest nesting of arrays and objects that is read."""
GREATEST_INT: Final = 2**63 - 1
"""Integers beyond this, either way, would not come back as they went in."""

_SUSPECT = re.compile(rb"\\u0000|[0-9]{19}")
_NOWHERE = "Send JSON as in /docs."
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
    parts = bytearray(data)
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
            raise not_json(error) from None
        except RecursionError:
            raise _too_deep() from None
        if _SUSPECT.search(data) or data.count(b"[") + data.count(b"{") > MAX_DEPTH:
            check_values(_generic(data))
        return value

    def _refusal(self, data: bytes, error: msgspec.ValidationError) -> Problem:
        unknown = find_unknown(_generic(data), self._info)
        return unknown_fields(unknown) if unknown else refusal(error)


def _generic(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except RecursionError:
        raise _too_deep() from None
    except msgspec.ValidationError:
        raise Problem(
            Code.INVALID_REQUEST, "A number in the body is too large to be kept. Send a smaller one."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json(error) from None


def not_json(error: Exception) -> Problem:
    """The refusal of what isn't JSON at all."""
    why = "it isn't valid UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
    return Problem(Code.INVALID_REQUEST, f"The body can't be read as JSON: {why}. {_NOWHERE}")


def refusal(error: msgspec.ValidationError, *, what: str = "Correct it and send the request again.") -> Problem:
    """What the decoder says, in the shape of a `Problem`: the field in `param`, the rule in the message."""
    match = _AT.match(str(error))
    assert match is not None
    rule, where = match["what"], match["where"] or ""
    missing = _MISSING.match(rule)
    if missing:
        where = f"{where}.{missing['name']}" if where else missing["name"]
        rule = "it is required"
    if len(rule) > 200:
        rule = rule[:200] + "…"
    rule = rule[0].lower() + rule[1:]
    text = f"`{where}`: {rule}. {what}" if where else f"The body is wrong: {rule}. {what}"
    return Problem(Code.INVALID_REQUEST, text, param=where or None)


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


def check_values(value: Any, depth: int = 0) -> None:
    """`Problem` when there is a NUL character, an integer beyond 64 bits or too deep a nesting anywhere in `value`."""
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, dict):
        for key, item in value.items():
            _check_scalar(key)
            check_values(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            check_values(item, depth + 1)
    else:
        _check_scalar(value)


def _check_scalar(value: object) -> None:
    if isinstance(value, str) and "\0" in value:
        raise Problem(Code.INVALID_REQUEST, "A text in the body holds a NUL character. Take it out.")
    if isinstance(value, int) and not -GREATEST_INT - 1 <= value <= GREATEST_INT:
        raise Problem(Code.INVALID_REQUEST, "An integer in the body needs more than 64 bits. Send it as a string.")


def _too_deep() -> Problem:
    return Problem(
        Code.INVALID_REQUEST, f"The body nests arrays and objects more than {MAX_DEPTH} deep. Make it flatter."
    )
