"""What a grant says, in either of its two encodings, and how a device refuses one."""

from typing import Any

import msgspec

from rolltape.codes import Failure


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a grant says. Times are whole seconds since the epoch; `params` is without metadata."""

    iss: str
    aud: str
    jti: str
    seq: int
    gen: int
    iat: int
    nbf: int
    exp: int
    type: str
    params: dict[str, Any]


class GrantRefused(Exception):
    """A grant that the device doesn't obey. `failure` is what it reports."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message


def invalid(message: str) -> GrantRefused:
    """Not ours, not whole, or not for this device: `grant_invalid`."""
    return GrantRefused(Failure.GRANT_INVALID, message)
