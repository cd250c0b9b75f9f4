"""Times on the wire: ISO 8601, UTC, milliseconds, `Z`; inside: integer milliseconds since the epoch."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

Timestamp = Annotated[
    str,
    Meta(
        description="ISO 8601, UTC, milliseconds: 2026-01-02T03:04:05.678Z",
        extra_json_schema={"format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
    ),
]
"""A time in an answer."""

TimeInput = Annotated[
    str,
    Meta(
        max_length=40,
        description="ISO 8601 with an offset or Z; stored to the millisecond",
        extra_json_schema={"format": "date-time"},
    ),
]
"""A time in a request. `parse` reads it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHAPE = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MILLISECOND = timedelta(milliseconds=1)
GREATEST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z: no time here is later."""


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def iso(ms: int) -> str:
    """`ms` as `2026-01-02T03:04:05.678Z`. 0 to GREATEST_MS; ValueError outside."""
    if not 0 <= ms <= GREATEST_MS:
        raise ValueError(f"{ms} ms is outside the years 1970 to 9999")
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


def iso_or_none(ms: int | None) -> str | None:
    """`iso`, with None kept."""
    return None if ms is None else iso(ms)


def parse(text: str) -> int:
    """Milliseconds since the epoch. ValueError for what isn't ISO 8601 with an offset, or is before 1970."""
    if not _SHAPE.fullmatch(text):
        raise ValueError("not an ISO 8601 time with an offset, like 2026-01-02T03:04:05.678Z")
    try:
        moment = datetime.fromisoformat(text.upper())
        ms = (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError) as error:
        raise ValueError("not a date and time that exists") from error
    if not 0 <= ms <= GREATEST_MS:
        raise ValueError("outside the years 1970 to 9999")
    return ms


def ceil_second(ms: int) -> int:
    """`ms` rounded up to a whole second, in milliseconds."""
    return -(-ms // 1000) * 1000
