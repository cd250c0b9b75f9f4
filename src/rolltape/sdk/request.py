"""One call, described once: both clients send the same description."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import msgspec

from rolltape.sdk.errors import SettingsError
from rolltape.sdk.lenient import nothing, reader

T = TypeVar("T")

_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
MAX_WAIT_SEC = 60
"""The longest `wait` that the server takes."""


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """What to send and how to read the answer.

    `repeatable`: sending it twice does no more than sending it once, so it is tried again after a lost answer.
    `gone_is_done`: after a lost answer, a 404 says that the first try did it. `wait` is how long the server may hold
    the answer, in seconds.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    repeatable: bool = True
    gone_is_done: bool = False
    wait: float = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_query(self, **values: object) -> "Request[T]":
        """The same call with these query parameters in place of its own of those names; None takes one out."""
        kept = tuple((name, text) for name, text in self.query if name not in values)
        return replace(self, query=kept + query_of(values))


def get(path: str, kind: type[T], **query: object) -> Request[T]:
    """A call that only reads."""
    return Request("GET", path, reader(kind), query=query_of(query))


def post(path: str, kind: type[T], body: object = None, *, repeatable: bool = True, wait: float = 0) -> Request[T]:
    """A call that changes something. Fields that are None are left out of the body."""
    if not 0 <= wait <= MAX_WAIT_SEC:
        raise SettingsError(f"wait is {wait}: it takes 0 to {MAX_WAIT_SEC} seconds; watch the command for longer ones")
    query = query_of({"wait": wait or None})
    return Request("POST", path, reader(kind), query=query, body=encoded(body), repeatable=repeatable, wait=wait)


def delete(path: str, **query: object) -> Request[None]:
    """A call that takes something away and answers nothing."""
    return Request("DELETE", path, nothing, query=query_of(query), gone_is_done=True)


def encoded(body: object) -> bytes | None:
    """`body` as JSON; of a dict, only what isn't None. SettingsError for what JSON can't hold."""
    if body is None:
        return None
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if value is not None}
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise SettingsError(f"this can't be sent as JSON: {error}") from error


def query_of(values: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Query parameters as text: None is left out, a list is repeated, a bool is `true` or `false`."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        several = value if isinstance(value, list | tuple) else [value]
        pairs += [(name, _text(one)) for one in several if one is not None]
    return tuple(pairs)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def path_of(*segments: str) -> str:
    """`/v1/` and the segments. SettingsError for an id that could not be one, so that no id climbs the path."""
    for segment in segments:
        if not isinstance(segment, str) or not _SEGMENT.fullmatch(segment):
            raise SettingsError(f"{segment!r:.80} is not an id: ids look like dev_4Fz9 and come from the server")
    return "/v1/" + "/".join(segments)


Body = dict[str, Any]
