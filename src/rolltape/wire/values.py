"""JSON that could not be kept as it came: NUL characters, integers beyond 64 bits, deep nesting. It is refused."""

from typing import Any, Final

import msgspec

from rolltape.codes import Code, Problem

MAX_DEPTH: Final = 64
"""The deepest nesting of arrays and objects that is read."""
GREATEST_INT: Final = 2**63 - 1
"""Integers beyond this, either way, would not come back as they went in."""

_TOO_LONG = b"0" * 19
"""So many digits may be more than 64 bits hold."""
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_decode = msgspec.json.Decoder().decode


def is_suspect(data: bytes | memoryview | msgspec.Raw) -> bool:
    """Whether the JSON might hold something that can't be kept: only then is it worth a slow look."""
    raw = bytes(data)
    return (
        b"\\u0000" in raw
        or _TOO_LONG in raw.translate(_ZEROS)  # such passes take half as long as one by `re`
        or raw.count(b"[") + raw.count(b"{") > MAX_DEPTH
    )


def read_any(data: bytes | msgspec.Raw) -> Any:
    """The value. Raises Problem (`invalid_request`) for what is no JSON, or can't be kept."""
    try:
        return _decode(data)
    except RecursionError:
        raise too_deep() from None
    except msgspec.ValidationError:
        raise Problem(
            Code.INVALID_REQUEST, "A number in the body is too large to be kept. Send a smaller one."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json(error) from None


def not_json(error: Exception) -> Problem:
    """The refusal of what isn't JSON at all."""
    why = "it isn't valid UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
    return Problem(Code.INVALID_REQUEST, f"The body can't be read as JSON: {why}. Send JSON as in /docs.")


def check_values(value: Any, depth: int = 0) -> None:
    """`Problem` when there is a NUL character, an integer beyond 64 bits or too deep a nesting anywhere in `value`."""
    if depth > MAX_DEPTH:
        raise too_deep()
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


def too_deep() -> Problem:
    """The refusal of what is nested too deeply."""
    return Problem(
        Code.INVALID_REQUEST, f"The body nests arrays and objects more than {MAX_DEPTH} deep. Make it flatter."
    )
