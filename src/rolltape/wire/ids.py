"""Ids: `<prefix>_` and 22 characters of base 62: 8 that hold 48 bits of time, 14 that hold 80 bits of chance.

The digits are in ASCII order, so that ids made later sort later (to the millisecond). Secrets are made here too: they
are 256 bits from the operating system.
"""

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

Prefix = Literal["proj", "dev", "eu", "cmd", "rec", "med", "evt", "we", "key", "req"]

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]
_ID = re.compile(r"[a-z]+_[A-Za-z0-9]{1,64}", re.ASCII)
_DEVICE_MADE = re.compile(r"rec_[A-Za-z0-9]{22,64}", re.ASCII)

ID_PATTERN = r"^{prefix}_[A-Za-z0-9]{{1,64}}$"
"""The pattern of an id, for documents: `ID_PATTERN.format(prefix="dev")`."""


@lru_cache(maxsize=16)
def _time_part(now_ms: int) -> str:
    high, low = divmod(now_ms, 62**4)
    return _four(high) + _four(low)


def _four(number: int) -> str:
    high, low = divmod(number, 3844)
    return _PAIRS[high] + _PAIRS[low]


def _seven(number: int) -> str:
    """40 bits as 7 digits."""
    high, low = divmod(number, 62**4)
    return _PAIRS[high // 62] + _DIGITS[high % 62] + _four(low)


class _Stock:
    """Random digits, fetched from the operating system and written out for hundreds of ids at once: an id is a name and
    no secret."""

    def __init__(self, make: Callable[[], list[str]]) -> None:
        self._make = make
        self._left: list[str] = []

    def take(self) -> str:
        """One that nobody else gets."""
        try:
            return self._left.pop()  # one step of the interpreter: no two threads get the same
        except IndexError:
            fresh = self._make()
            mine = fresh.pop()
            self._left = fresh
            return mine

    def forget(self) -> None:
        """Those that are left are somebody else's."""
        self._left = []


def _forty_bits() -> list[str]:
    """Each 40 bits as 7 digits."""
    data = os.urandom(5 * 512)
    return [_seven(int.from_bytes(data[at : at + 5], "big")) for at in range(0, len(data), 5)]


def _fourteen_digits() -> list[str]:
    """Each 14 digits, 83 bits, without arithmetic: for ids that never go on the air, where 80 have room."""
    digits = base64.b64encode(os.urandom(6144)).translate(None, b"+/=").decode("ascii")
    return [digits[at : at + 14] for at in range(0, len(digits) - 13, 14)]


_chance = _Stock(_forty_bits)
_digits_of_requests = _Stock(_fourteen_digits)
for _stock in (_chance, _digits_of_requests):
    os.register_at_fork(after_in_child=_stock.forget)  # a child must draw its own


def new_id(prefix: Prefix, now_ms: int) -> str:
    """A new id, 128 bits: `now_ms` in 8 characters, chance in 14."""
    return f"{prefix}_{_time_part(now_ms)}{_chance.take()}{_chance.take()}"


def new_request_id(now_ms: int) -> str:
    """A new id of a request, with 83 bits of chance: one is made for each, and none goes on the air."""
    return f"req_{_time_part(now_ms)}{_digits_of_requests.take()}"


_TIME_BYTES, _CHANCE_BYTES = 6, 5
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
PACKED_BYTES = 16


def pack(prefix: Prefix, text: str) -> bytes | str:
    """An id for the air: its 128 bits where this server's kind of id has them, else the text itself.

    6 bytes of time and twice 5 of chance, big-endian, without the prefix, which the place says. ValueError for what
    is no id with that prefix.
    """
    if not is_id(prefix, text):
        raise ValueError(f"not an id that begins with {prefix}_")
    digits = text.removeprefix(prefix + "_")
    if len(digits) == 22:
        time, first, second = (_number(part) for part in (digits[:8], digits[8:15], digits[15:]))
        if first >> 40 == 0 == second >> 40:
            return time.to_bytes(_TIME_BYTES, "big") + (first << 40 | second).to_bytes(2 * _CHANCE_BYTES, "big")
    return text


def unpack(prefix: Prefix, packed: object) -> str:
    """The id that `pack` gave, or that came as its text. ValueError for anything else."""
    if isinstance(packed, str) and is_id(prefix, packed):
        return packed
    if not isinstance(packed, bytes) or len(packed) != PACKED_BYTES:
        raise ValueError(f"not an id of {PACKED_BYTES} bytes")
    time = int.from_bytes(packed[:_TIME_BYTES], "big")
    if time >= 62**8:
        raise ValueError("no id begins so")
    chance = int.from_bytes(packed[_TIME_BYTES:], "big")
    return f"{prefix}_{_time_part(time)}{_seven(chance >> 40)}{_seven(chance & (1 << 40) - 1)}"


def time_of(prefix: Prefix, text: str) -> int | None:
    """When a server made that id (ms); None for what isn't of this server's kind. Anybody can make one up."""
    packed = pack(prefix, text) if is_id(prefix, text) else text
    return int.from_bytes(packed[:_TIME_BYTES], "big") if isinstance(packed, bytes) else None


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number * 62 + _VALUES[digit]
    return number


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
