"""What a simulated device reads of the server's answers: what it needs, and nothing else."""

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")


class OfferHeard(Struct, frozen=True):
    """An offer: the grant is the command."""

    id: str
    grant_token: str


class AckHeard(Struct, frozen=True):
    """One go or no-go."""

    id: str | None
    go: bool = False


class ErrorHeard(Struct, frozen=True):
    """Why something was refused."""

    code: str = ""


class ResultHeard(Struct, frozen=True):
    """What became of one report."""

    id: str | None
    ok: bool = False
    error: ErrorHeard | None = None

    @property
    def is_told(self) -> bool:
        """Whether it need not be said again."""
        return self.ok or (self.error is not None and self.error.code in ("result_conflict", "not_found"))


class BeatHeard(Struct, frozen=True):
    """The answer to a heartbeat."""

    server_time: str
    next_heartbeat_sec: float = 60
    commands: list[OfferHeard] = []
    acks: list[AckHeard] = []
    results: list[ResultHeard] = []
    grant_keys: dict[str, Any] | None = None


class FrameHeard(Struct, frozen=True):
    """A frame of the live channel, of any type; `about` is the type of the frame that an error is about."""

    type: str
    id: str | None = None
    ok: bool = False
    status: str | None = None
    code: str = ""
    error: ErrorHeard | None = None
    command: OfferHeard | None = None
    ref: int | str | None = None
    about: str | None = msgspec.field(name="in", default=None)


class ErrorAnswer(Struct, frozen=True):
    """An HTTP answer that isn't a success."""

    error: ErrorHeard


read_beat = msgspec.json.Decoder(BeatHeard).decode
read_frame = msgspec.json.Decoder(FrameHeard).decode
_read_error = msgspec.json.Decoder(ErrorAnswer).decode
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, ValueError)
"""What those raise over an answer that isn't what was hoped for."""


def error_code(body: bytes) -> str:
    """The code of a refusal; empty where there is none."""
    try:
        return _read_error(body).error.code
    except UNREADABLE:
        return ""
