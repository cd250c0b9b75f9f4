"""Bodies whose items are read one by one, where some items aren't even JSON: those must not fail the others."""

import json
from typing import Any


def mended(data: bytes, apart: frozenset[str]) -> bytes | None:
    """The body, with no more than its `id` left of each item of a list in `apart` that no JSON text can hold: one with
    a lone surrogate or NaN in it. None where that doesn't make the body readable."""
    try:
        body = json.loads(data.decode())
        if not isinstance(body, dict):
            return None
        for name in apart & body.keys():
            if isinstance(body[name], list):
                body[name] = [item if _is_json(item) else _rest_of(item) for item in body[name]]
        again = _text(body)
    except (ValueError, RecursionError):
        return None
    return None if again == data else again


def _text(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def _is_json(value: Any) -> bool:
    try:
        _text(value)
    except ValueError:
        return False
    return True


def _rest_of(item: Any) -> dict[str, str] | None:
    id_ = item.get("id") if isinstance(item, dict) else None
    return {"id": id_} if isinstance(id_, str) and _is_json(id_) else None
