"""Calls on end users and API keys."""

from typing import Any

from rolltape.codes import Mode, Scope
from rolltape.sdk.request import Request, delete, get, path_of, post
from rolltape.wire.account import EndUser, Key, NewKey
from rolltape.wire.common import Page


def create_end_user(
    external_id: str, *, name: str | None = None, email: str | None = None, metadata: dict[str, Any] | None = None
) -> Request[EndUser]:
    """Make known a person (or a place) of yours, by your own id. Raises ExternalIdTaken. Needs `end_users:write`.

    It isn't sent again after a lost answer: then look the `external_id` up.
    """
    body = {"external_id": external_id, "name": name, "email": email, "metadata": metadata}
    return post(path_of("end-users"), EndUser, body, repeatable=False)


def end_user(end_user_id: str) -> Request[EndUser]:
    """One end user. Raises NotFound. Needs `end_users:read`."""
    return get(path_of("end-users", end_user_id), EndUser)


def end_user_pages(
    *, external_id: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Request[Page[EndUser]]:
    """The project's end users, newest first; `external_id` looks one up exactly. Needs `end_users:read`."""
    return get(path_of("end-users"), Page[EndUser], external_id=external_id, limit=limit, cursor=cursor)


def remove_end_user(end_user_id: str) -> Request[None]:
    """Delete an end user: the devices are unbound by force, the recordings deleted. Needs `end_users:write`."""
    return delete(path_of("end-users", end_user_id))


def create_key(
    *, name: str | None = None, scopes: list[Scope] | None = None, mode: Mode | None = None
) -> Request[NewKey]:
    """Make an API key, shown this once; it can't have more than the calling key. Needs `keys:write`."""
    return post(path_of("keys"), NewKey, {"name": name, "scopes": scopes, "mode": mode}, repeatable=False)


def key_pages(*, limit: int | None = None, cursor: str | None = None) -> Request[Page[Key]]:
    """The project's keys, without their secrets, newest first. Needs `keys:write`."""
    return get(path_of("keys"), Page[Key], limit=limit, cursor=cursor)


def revoke_key(key_id: str) -> Request[None]:
    """End a key at once. Raises NotFound. Needs `keys:write`."""
    return delete(path_of("keys", key_id))
