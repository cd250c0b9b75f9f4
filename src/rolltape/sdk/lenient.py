"""Reading answers so that an older SDK survives a newer server.

Unknown fields are ignored. An answer that holds a value that this version doesn't know (a new command status, a new
content type), or that lacks a field that may be null, is read a second time with looser types: the unknown value comes
through as the plain string it is, and what is missing is None. So a `match` on a status needs a default branch. The
looser types are subclasses of the usual ones: `isinstance` holds.
"""

import types
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from rolltape.sdk.errors import UnexpectedAnswer

T = TypeVar("T")


def reader(kind: type[T]) -> Callable[[bytes], T]:
    """A function that reads an answer as `kind`. It raises UnexpectedAnswer for what can't be read even loosely."""

    def read(body: bytes) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return _read_loosely(kind, body)

    return read


def _read_loosely(kind: type[T], body: bytes) -> T:
    try:
        return cast(T, msgspec.json.decode(body, type=loose(cast(Any, kind))))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnexpectedAnswer(f"a success whose body can't be read ({error}); is the URL right?") from error


def nothing(body: bytes) -> None:
    """The reader of an answer without a body."""


@cache
def loose(kind: Any) -> Any:
    """`kind` without its limits: literals become their plain types, structs a looser subclass."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return loose(arguments[0])
    if origin is Literal:
        return _any_of(*{type(value) for value in arguments})
    if origin in (Union, types.UnionType):
        return _any_of(*(loose(one) for one in arguments))
    if origin in (list, dict):
        return origin[tuple(loose(one) for one in arguments)]
    struct = origin or kind
    return _loose_struct(kind, struct) if isinstance(struct, type) and issubclass(struct, msgspec.Struct) else kind


def _any_of(*kinds: Any) -> Any:
    return Union[kinds]  # noqa: UP007 - its members are known at run time only


def _loose_struct(kind: Any, struct: type[msgspec.Struct]) -> Any:
    fields = [_loose_field(field) for field in msgspec.structs.fields(kind)]
    return msgspec.defstruct(struct.__name__, fields, bases=(struct,), kw_only=True, frozen=True)


def _loose_field(field: FieldInfo) -> Any:
    kind = loose(field.type)
    if field.default_factory is not msgspec.NODEFAULT:
        return field.name, kind, msgspec.field(default_factory=field.default_factory)
    if field.default is not msgspec.NODEFAULT:
        return field.name, kind, field.default
    if type(None) in get_args(kind):
        return field.name, kind, None
    return field.name, kind
