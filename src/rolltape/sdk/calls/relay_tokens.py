"""Calls on relay tokens."""

from rolltape.sdk.request import Request, delete, path_of, post
from rolltape.wire.relay import RelayToken


def create(
    end_user_id: str, *, device_ids: list[str] | None = None, ttl_seconds: int | None = None
) -> Request[RelayToken]:
    """Let a phone or a gateway carry for an end user's devices, or only for `device_ids`. Needs `devices:write`.

    The token is shown this once, and lasts `ttl_seconds` (60 to 86400, an hour where not given). Raises NotFound. After
    a lost answer it is asked for again: what was made first is known to nobody, and ends by itself.
    """
    body = {"end_user_id": end_user_id, "device_ids": device_ids, "ttl_seconds": ttl_seconds}
    return post(path_of("relay-tokens"), RelayToken, body)


def revoke(end_user_id: str) -> Request[None]:
    """End all relay tokens of an end user at once. Raises NotFound. Needs `devices:write`."""
    return delete(path_of("relay-tokens"), end_user_id=end_user_id)
