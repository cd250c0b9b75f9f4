"""What a relay says to a device: types 0x01 to 0x08.

The relay is not trusted. Whatever makes a device act is signed by the server (GRANT, ANSWER); the rest are hints that
at worst cost time.
"""

from functools import partial
from typing import ClassVar, Final, Literal

from msgspec import Struct

from rolltape.wire import cbor, cose
from rolltape.wire.ble import fields
from rolltape.wire.ble.frames import LONGEST_TO_DEVICE
from rolltape.wire.ble.service import VERSION
from rolltape.wire.ids import pack, unpack

MAX_PIECE: Final = 16 * 1024
"""The longest piece of a recording that one FETCH asks for."""
Kept = Literal[0x83, 0x84, 0x85]
"""The types of what a relay keeps for the server: REPORT, STATE, RECORDING."""
_envelope = partial(fields.blob, most=cose.MAX_BYTES)


class Hello(Struct, frozen=True, kw_only=True):
    """Opens the session: `{1: version, 2: online}`. `online`: the relay reaches the server now."""

    type: ClassVar[int] = 0x01
    online: bool
    version: int = VERSION

    def body(self) -> bytes:
        return cbor.encode({1: self.version, 2: self.online})

    @classmethod
    def read(cls, body: bytes) -> "Hello":
        said = fields.mapping(body, LONGEST_TO_DEVICE)
        return cls(version=fields.number(said.get(1)), online=fields.flag(said.get(2)))


class Grant(Struct, frozen=True):
    """A grant, as `grant_cwt` of the server's offer has it. Answered with a RESULT."""

    type: ClassVar[int] = 0x02
    cwt: bytes

    def body(self) -> bytes:
        return self.cwt

    @classmethod
    def read(cls, body: bytes) -> "Grant":
        return cls(_envelope(body))


class SignedAnswer(Struct, frozen=True):
    """The server's `answer_cwt` to a nonce of the device."""

    type: ClassVar[int] = 0x03
    cwt: bytes

    def body(self) -> bytes:
        return self.cwt

    @classmethod
    def read(cls, body: bytes) -> "SignedAnswer":
        return cls(_envelope(body))


class Revoke(Struct, frozen=True):
    """A hint that a command is no longer to be done: drops what was not begun. It never counts as a stop."""

    type: ClassVar[int] = 0x04
    command_id: str

    def body(self) -> bytes:
        return cbor.encode(pack("cmd", self.command_id))

    @classmethod
    def read(cls, body: bytes) -> "Revoke":
        return cls(unpack("cmd", cbor.decode(body, LONGEST_TO_DEVICE)))


class Offline(Struct, frozen=True):
    """The relay doesn't reach the server: no answer will come, and the grant alone is go."""

    type: ClassVar[int] = 0x05

    def body(self) -> bytes:
        return b""

    @classmethod
    def read(cls, body: bytes) -> "Offline":
        fields.nothing(body)
        return cls()


class Fetch(Struct, frozen=True, kw_only=True):
    """Asks for a piece of a recording: `[recording, offset, length]`. Answered with PIECE, GONE or a RESULT."""

    type: ClassVar[int] = 0x06
    recording_id: str
    offset: int
    length: int

    def body(self) -> bytes:
        return cbor.encode([pack("rec", self.recording_id), self.offset, self.length])

    @classmethod
    def read(cls, body: bytes) -> "Fetch":
        recording, offset, length = fields.items(body, 3, LONGEST_TO_DEVICE)
        return cls(
            recording_id=unpack("rec", recording),
            offset=fields.number(offset),
            length=fields.number(length, most=MAX_PIECE, least=1),
        )


class Next(Struct, frozen=True):
    """Send what is to be told: reports, the state, recordings. Ends with a RESULT."""

    type: ClassVar[int] = 0x07

    def body(self) -> bytes:
        return b""

    @classmethod
    def read(cls, body: bytes) -> "Next":
        fields.nothing(body)
        return cls()


class Taken(Struct, frozen=True, kw_only=True):
    """The relay holds it durably: `[type, id]`. The device may stop repeating it in this session, and no longer.

    `what`: the type of the message that is held. `id`: a report's command, a recording's own, else None.
    """

    type: ClassVar[int] = 0x08
    what: Kept
    id: str | None = None

    def body(self) -> bytes:
        return cbor.encode([self.what, None if self.id is None else pack(_PREFIX[self.what], self.id)])

    @classmethod
    def read(cls, body: bytes) -> "Taken":
        what, id_ = fields.items(body, 2, LONGEST_TO_DEVICE)
        return _taken(fields.number(what), id_)


_PREFIX: Final[dict[int, Literal["cmd", "rec"]]] = {0x83: "cmd", 0x85: "rec"}


def _taken(what: int, id_: object) -> Taken:
    if what == 0x84:
        return Taken(what=0x84)
    if what == 0x83:
        return Taken(what=0x83, id=unpack("cmd", id_))
    if what == 0x85:
        return Taken(what=0x85, id=unpack("rec", id_))
    raise ValueError("not the type of something that a relay keeps")


ToDevice = Hello | Grant | SignedAnswer | Revoke | Offline | Fetch | Next | Taken
TO_DEVICE: Final[dict[int, type[ToDevice]]] = {
    kind.type: kind for kind in (Hello, Grant, SignedAnswer, Revoke, Offline, Fetch, Next, Taken)
}
