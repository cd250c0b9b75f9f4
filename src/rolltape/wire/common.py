"""Shapes that many answers share: a page of a list, an error, and the strings that limits are put on."""

from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, Struct

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0)]
"""A whole number, 0 or more."""
Metadata = Annotated[
    dict[str, Any],
    Meta(description="Your own object, at most 16 KiB as JSON; kept as it is"),
]
METADATA_MAX_BYTES = 16 * 1024
"""The greatest size, as JSON, of metadata, settings and results."""


class Page(Struct, Generic[T], kw_only=True, frozen=True):
    """One page of a list, newest first. Pass `next_cursor` as `cursor` for the next one."""

    data: list[T]
    has_more: bool
    next_cursor: str | None


class ErrorBody(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What went wrong and what to do next."""

    code: str
    message: str
    request_id: str
    param: str | None = None
    details: dict[str, Any] | None = None


class ErrorAnswer(Struct, kw_only=True, frozen=True):
    """Every answer that isn't a success."""

    error: ErrorBody


class Reason(Struct, kw_only=True, frozen=True):
    """Why a command did not end well. `code` is one of the failure codes, or the project's own."""

    code: str
    message: str


class Event(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One thing that happened. `data` is the object as it was then, without secrets."""

    id: str
    type: str
    created_at: str
    data: dict[str, Any]
    previous_status: str | None = None
