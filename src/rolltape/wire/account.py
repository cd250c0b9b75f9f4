"""API keys and end users as they travel."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from rolltape.codes import Mode, Scope
from rolltape.wire.common import Metadata
from rolltape.wire.times import Timestamp

ExternalId = Annotated[str, Meta(min_length=1, max_length=255)]


class CreateKey(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/keys. Without `scopes`, all that the calling key has."""

    name: Annotated[str, Meta(max_length=128)] | None = None
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=32)] | None = None
    mode: Mode | None = None


class Key(Struct, kw_only=True, frozen=True):
    """An API key, without its secret."""

    id: str
    project_id: str
    mode: Mode
    name: str | None
    scopes: list[Scope]
    created_at: Timestamp
    last_used_at: Timestamp | None


class NewKey(Key, kw_only=True, frozen=True):
    """A key just made: `key` is shown this once."""

    key: str


class CreateEndUser(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/end-users."""

    external_id: ExternalId
    name: Annotated[str, Meta(max_length=255)] | None = None
    email: Annotated[str, Meta(max_length=320)] | None = None
    metadata: Metadata | None = None


class EndUser(Struct, kw_only=True, frozen=True):
    """A person (or place) of the customer's, to whom devices are bound."""

    id: str
    project_id: str
    external_id: str
    name: str | None
    email: str | None
    metadata: dict[str, Any]
    created_at: Timestamp
