"""The page at /docs: one file that reads /openapi.json from this server and nothing from anywhere else.

Its script and its style are named by their hashes in the Content-Security-Policy (CSP level 2), so nothing else runs.
"""

import base64
import hashlib
import re
from importlib import resources
from typing import Final

from rolltape.web.call import Header


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _between(page: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    assert found is not None
    return found[1]


def _policy(page: str) -> str:
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash(_between(page, 'script'))}",
            f"style-src {_hash(_between(page, 'style'))}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


_TEXT: Final = resources.files("rolltape.web").joinpath("docs.html").read_text("utf-8")
PAGE: Final = _TEXT.encode()
"""The page."""
CONTENT_SECURITY_POLICY: Final[tuple[Header, ...]] = (
    (b"content-security-policy", _policy(_TEXT).encode("ascii")),
    (b"referrer-policy", b"no-referrer"),
)
"""The headers that go with it."""
