"""URLs that carry their own permission: one media, one direction, one hour, no Authorization header.

`…?tenant=<n>&expires=<unix seconds>&signature=<base64url>`, where the signature is HMAC-SHA256 under a key derived from
the deployment's master key over the text

    rolltape-url-1 \\n up or down \\n media id \\n tenant \\n expires

so that none of it can be changed, and a URL to upload with can't download. The expiry is checked when a request begins.
"""

import base64
import hashlib
import hmac
import re
from typing import Literal
from urllib.parse import parse_qsl

from rolltape.codes import Code, Problem
from rolltape.wire.ids import is_id

Direction = Literal["up", "down"]

VALID_MS = 3_600_000
"""How long a URL works: an hour."""
PATHS: dict[Direction, str] = {"up": "/v1/uploads/", "down": "/v1/downloads/"}
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)
_ASK: dict[Direction, str] = {
    "up": "Ask for a fresh URL: POST /v1/recordings/{id}/upload-url. The bytes that are in are kept.",
    "down": "Ask for a fresh URL: GET /v1/recordings/{id}/download-url.",
}


def _signature(key: bytes, direction: Direction, media_id: str, tenant: str, expires: str) -> str:
    text = "\n".join(("rolltape-url-1", direction, media_id, tenant, expires))
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).rstrip(b"=").decode()


def make(key: bytes, direction: Direction, media_id: str, tenant_n: int, *, base_url: str, now: int) -> tuple[str, int]:
    """The URL, and when it ends (ms, a whole second). `base_url` is `http(s)://host[:port]`, without a slash."""
    expires = (now + VALID_MS) // 1000
    signature = _signature(key, direction, media_id, str(tenant_n), str(expires))
    query = f"tenant={tenant_n}&expires={expires}&signature={signature}"
    return f"{base_url}{PATHS[direction]}{media_id}?{query}", expires * 1000


def check(key: bytes, direction: Direction, media_id: str, query: bytes, now: int) -> tuple[int, int]:
    """The tenant that the URL is for, and when it ends (ms).

    Raises Problem: not_found for what isn't a media id, forbidden for a URL that is incomplete, changed or over.
    """
    if not is_id("med", media_id):
        raise Problem(Code.NOT_FOUND, "There is no such upload or download. Use the URL exactly as you were given it.")
    values = _values(query)
    tenant, expires, given = (values.get(name, "") for name in ("tenant", "expires", "signature"))
    expected = _signature(key, direction, media_id, tenant, expires)
    right = hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))
    if not right or not _NUMBER.fullmatch(tenant) or not _NUMBER.fullmatch(expires):
        raise Problem(Code.FORBIDDEN, f"The URL isn't one that this server signed for this. {_ASK[direction]}")
    if now >= int(expires) * 1000:
        raise Problem(Code.FORBIDDEN, f"The URL is over an hour old. {_ASK[direction]}", details={"expired": True})
    return int(tenant), int(expires) * 1000


def _values(query: bytes) -> dict[str, str]:
    """The query's parameters. None where one comes twice: what was signed has each once."""
    try:
        pairs = parse_qsl(query.decode("ascii"), max_num_fields=16)
    except ValueError:
        return {}
    values = dict(pairs)
    return values if len(values) == len(pairs) else {}
