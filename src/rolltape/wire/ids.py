"""Ids: `<prefix>_` and 22 characters of base 62, which hold 48 bits of time and 80 bits of chance.

The digits are in ASCII order, so that ids made later sort later (to the millisecond). Secrets are made here too: they
are 256 bits from the operating system.
"""

import hashlib
import re
import secrets
from typing import Literal

Prefix = Literal["proj", "dev", "eu", "cmd", "rec", "med", "evt", "we", "key", "req"]

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]
_ID = re.compile(r"[a-z]+_[A-Za-z0-9]{1,64}", re.ASCII)
_DEVICE_MADE = re.compile(r"rec_[A-Za-z0-9]{22,64}", re.ASCII)

ID_PATTERN = r"^{prefix}_[A-Za-z0-9]{{1,64}}$"
"""The pattern of an id, for documents: `ID_PATTERN.format(prefix="dev")`."""


def base62(number: int, width: int) -> str:
    """`number` in base 62, `width` digits (even), most significant first."""
    out = []
    for _ in range(width // 2):
        number, rest = divmod(number, 3844)
        out.append(_PAIRS[rest])
    out.reverse()
    return "".join(out)


def new_id(prefix: Prefix, now_ms: int) -> str:
    """A new id, 128 bits: `now_ms` in the upper 48, chance in the lower 80."""
    return f"{prefix}_{base62((now_ms << 80) | secrets.randbits(80), 22)}"


def is_id(prefix: Prefix, text: str) -> bool:
    """Whether `text` could be an id with that prefix."""
    return text.startswith(prefix + "_") and _ID.fullmatch(text) is not None


def is_device_made_recording_id(text: str) -> bool:
    """Whether `text` is an id that a device may give a recording: `rec_` and 22 to 64 characters."""
    return _DEVICE_MADE.fullmatch(text) is not None


def new_secret(prefix: str) -> str:
    """A new credential: the prefix and 43 base64url characters, 256 bits of chance."""
    return prefix + secrets.token_urlsafe(32)


def fingerprint(secret: str) -> bytes:
    """What is stored of a credential: its SHA-256, 32 bytes. The secret has 256 bits, so no salt is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
