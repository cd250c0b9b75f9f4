"""A command's params: checked, with their defaults, in one canonical form."""

import hashlib
from typing import Any

import msgspec

from rolltape.codes import Code, Problem
from rolltape.wire.command import CreateCommand, StartParams
from rolltape.wire.common import METADATA_MAX_BYTES

_encode = msgspec.json.Encoder(order="deterministic").encode
_START_FIELDS = frozenset(StartParams.__struct_fields__)
_DEFAULT_START = _encode({"max_duration_sec": 3600, "upload_immediately": True}).decode()


def invalid(message: str, param: str) -> Problem:
    """400 that names the field."""
    return Problem(Code.INVALID_REQUEST, message, param=param)


def json_text(value: Any, param: str, what: str) -> str:
    """`value` as JSON text of at most 16 KiB. Raises Problem: invalid_request."""
    text = _encode(value)
    if len(text) > METADATA_MAX_BYTES:
        raise invalid(
            f"{what} has {len(text)} bytes as JSON; at most {METADATA_MAX_BYTES} are kept. Make it smaller.", param
        )
    return text.decode()


def canonical_params(body: CreateCommand) -> str:
    """The params as JSON, with defaults.

    Raises Problem: invalid_request, which names every field that the type doesn't know.
    """
    given = body.params or {}
    known = _START_FIELDS if body.type == "start_recording" else frozenset[str]()
    unknown = sorted(set(given) - known)
    if unknown:
        names = [f"params.{name[:64]}" for name in unknown[:20]]
        told = f"{body.type} has no such params: {', '.join(names)}. Leave them out."
        raise Problem(Code.INVALID_REQUEST, told, param=names[0], details={"unknown": names})
    if body.type != "start_recording":
        return "{}"
    return _start_params(given) if given else _DEFAULT_START


def _start_params(given: dict[str, Any]) -> str:
    try:
        params = msgspec.convert(given, StartParams)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        where = f"params.{path.rstrip('`')}" if path else "params"
        raise invalid(f"{where}: {message}.", where) from None
    value: dict[str, Any] = {
        "max_duration_sec": params.max_duration_sec,
        "upload_immediately": params.upload_immediately,
    }
    if params.metadata is not None:
        json_text(params.metadata, "params.metadata", "params.metadata")
        value["metadata"] = params.metadata
    return _encode(value).decode()


def request_hash(type_: str, params: str, ttl_seconds: int) -> bytes:
    """What tells two requests with one idempotency key apart: all of the request, after defaults."""
    return hashlib.sha256(f"{type_}\n{ttl_seconds}\n{params}".encode()).digest()
