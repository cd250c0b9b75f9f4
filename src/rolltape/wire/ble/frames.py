"""Messages cut into fragments that fit one ATT write or notification, and put together again.

A message is its type, its body's length in 3 bytes, big-endian, and the body. A fragment is one header byte and the
next piece of the message: 0x80 says first, 0x40 last, the low 6 bits count the fragments of this message, from 0,
modulo 64. A first fragment holds the message's 4 bytes of header whole; every other one holds a byte at least.

What can't be put together is dropped and named once: then everything up to the next first fragment is passed over.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from msgspec import Struct

MIN_MTU: Final = 23
MAX_VALUE: Final = 512
"""No attribute value is longer (Core Specification, Vol 3, Part F, 3.2.9), whatever the MTU."""
LONGEST_TO_DEVICE: Final = 4 * 1024
"""The longest body from a relay to a device."""
LONGEST_TO_RELAY: Final = 64 * 1024
"""The longest body from a device to a relay."""

_FIRST, _LAST, _NUMBER = 0x80, 0x40, 0x3F
_HEAD = 4
_ATT_HEADER = 3


class ResultCode(IntEnum):
    """How a message from a relay was taken."""

    OK = 0
    BUSY = 1
    UNKNOWN_MESSAGE = 2
    BAD_FRAMING = 3
    BAD_BODY = 4
    GRANT_REFUSED = 5
    NO_SUCH_RECORDING = 6
    NEEDS_ENCRYPTION = 7
    TOO_LONG = 8
    VERSION = 9


class Frame(Struct, frozen=True):
    """A whole message, its body not yet read."""

    type: int
    body: bytes


class Refusal(Struct, frozen=True):
    """Why something was dropped. `about`: the message's type, 0 where it isn't known."""

    about: int
    code: ResultCode
    detail: str


def fragment_size(mtu: int) -> int:
    """The longest fragment, header byte included, at this ATT MTU. ValueError below 23."""
    if mtu < MIN_MTU:
        raise ValueError(f"no ATT MTU is below {MIN_MTU}")
    return min(mtu - _ATT_HEADER, MAX_VALUE)


def cut(frame: Frame, mtu: int) -> Iterator[bytes]:
    """The fragments of a message, in order, for this ATT MTU."""
    data = bytes([frame.type]) + len(frame.body).to_bytes(3, "big") + frame.body
    room = fragment_size(mtu) - 1
    for number, at in enumerate(range(0, len(data), room)):
        first = _FIRST if at == 0 else 0
        last = _LAST if at + room >= len(data) else 0
        yield bytes([first | last | number & _NUMBER]) + data[at : at + room]


class Assembler:
    """Puts one direction of one connection together. It never holds more than one message of `longest` bytes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._data = bytearray()
        self._next = 0
        self._is_passing_over = False

    def feed(self, fragment: bytes) -> list[Frame | Refusal]:
        """What this fragment brings about: nothing yet, a message, a refusal, or a refusal and then a message."""
        if not fragment:
            return self._refuse("an empty fragment")
        header, piece = fragment[0], fragment[1:]
        if header & _FIRST:
            cut_off = self._refuse("cut off by the next message") if self._data else []
            return cut_off + self._begin(header, piece)
        if self._is_passing_over:
            return []
        if not self._data:
            return self._refuse("a fragment of no message")
        return self._go_on(header, piece)

    def _begin(self, header: int, piece: bytes) -> list[Frame | Refusal]:
        self._is_passing_over = False
        self._next = 0
        if len(piece) < _HEAD:
            return self._refuse("a first fragment without type and length")
        self._data += piece[:_HEAD]
        if self._length > self._longest:
            return self._refuse(f"{self._length} bytes, more than {self._longest}", ResultCode.TOO_LONG)
        return self._go_on(header, piece[_HEAD:])

    def _go_on(self, header: int, piece: bytes) -> list[Frame | Refusal]:
        is_last = bool(header & _LAST)
        if header & _NUMBER != self._next:
            return self._refuse(f"fragment {header & _NUMBER} where {self._next} is due")
        if not piece and not header & _FIRST:
            return self._refuse("a fragment without a piece")
        self._next = (self._next + 1) & _NUMBER
        missing = _HEAD + self._length - len(self._data) - len(piece)
        if missing < 0:
            return self._refuse("longer than it said")
        if is_last != (missing == 0):
            return self._refuse(
                "whole, but not marked as last" if missing == 0 else f"{missing} bytes short of what it said"
            )
        self._data += piece
        return [self._whole()] if is_last else []

    @property
    def _length(self) -> int:
        return int.from_bytes(self._data[1:_HEAD], "big")

    def _whole(self) -> Frame:
        frame = Frame(self._data[0], bytes(self._data[_HEAD:]))
        self._data.clear()
        return frame

    def _refuse(self, detail: str, code: ResultCode = ResultCode.BAD_FRAMING) -> list[Frame | Refusal]:
        about = self._data[0] if self._data else 0
        self._data.clear()
        self._is_passing_over = True
        return [Refusal(about, code, detail)]
