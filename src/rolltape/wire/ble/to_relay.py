"""What a device says to a relay: types 0x81 to 0x88.

A relay reads these from whatever answers under the service's UUID: everything has its bound, and nothing that comes
from a device is believed before the server has looked at it.
"""

import hashlib
from functools import partial
from typing import ClassVar, Final

from msgspec import Struct

from rolltape.wire import cbor, cose
from rolltape.wire.answer import NONCE_BYTES
from rolltape.wire.ble import fields
from rolltape.wire.ble.frames import LONGEST_TO_RELAY
from rolltape.wire.ble.service import VERSION
from rolltape.wire.ble.to_device import MAX_PIECE
from rolltape.wire.ids import pack, unpack

_CHECK_BYTES = 8
_HASH_BYTES = 32
_receipt = partial(fields.blob, most=cose.MAX_BYTES)
_json = partial(fields.blob, most=LONGEST_TO_RELAY)
_hash = partial(fields.blob, most=_HASH_BYTES, least=_HASH_BYTES)
_command = partial(unpack, "cmd")
_recording = partial(unpack, "rec")


class Welcome(Struct, frozen=True, kw_only=True):
    """HELLO of a device, in answer to the relay's: `{1: version, 2: flags, 3: mtu, 4: [reports, recordings]}`.

    `mtu`: the ATT MTU as the device has it. `reports`, `recordings`: how many no signed answer has confirmed.
    """

    type: ClassVar[int] = 0x81
    mtu: int
    reports: int = 0
    recordings: int = 0
    flags: int = 0
    version: int = VERSION

    def body(self) -> bytes:
        return cbor.encode({1: self.version, 2: self.flags, 3: self.mtu, 4: [self.reports, self.recordings]})

    @classmethod
    def read(cls, body: bytes) -> "Welcome":
        said = fields.mapping(body, LONGEST_TO_RELAY)
        counts = said.get(4)
        if type(counts) is not list or len(counts) < 2:
            raise ValueError("not two counts")
        return cls(
            version=fields.number(said.get(1)),
            flags=fields.number(said.get(2)),
            mtu=fields.number(said.get(3)),
            reports=fields.number(counts[0]),
            recordings=fields.number(counts[1]),
        )


class Challenge(Struct, frozen=True, kw_only=True):
    """Asks the server something through the relay: `[nonce, command, ack receipt, recording, floor]`.

    The relay first sends the acknowledgement of `command_id` with `ack_receipt`, where there is one, then asks for a
    signed answer to the nonce (16 bytes), and brings it as ANSWER. `floor`: the replay record is lost.
    """

    type: ClassVar[int] = 0x82
    nonce: bytes
    command_id: str | None = None
    ack_receipt: bytes | None = None
    recording_id: str | None = None
    floor: bool = False

    def body(self) -> bytes:
        command = None if self.command_id is None else pack("cmd", self.command_id)
        recording = None if self.recording_id is None else pack("rec", self.recording_id)
        return cbor.encode([self.nonce, command, self.ack_receipt, recording, self.floor])

    @classmethod
    def read(cls, body: bytes) -> "Challenge":
        nonce, command, receipt, recording, floor = fields.items(body, 5, LONGEST_TO_RELAY)
        return cls(
            nonce=fields.blob(nonce, NONCE_BYTES, NONCE_BYTES),
            command_id=fields.maybe(_command, command),
            ack_receipt=fields.maybe(_receipt, receipt),
            recording_id=fields.maybe(_recording, recording),
            floor=fields.flag(floor),
        )


class Report(Struct, frozen=True, kw_only=True):
    """What became of a command: `[command, body, receipt]`. `json`: the body of the report as the server takes it."""

    type: ClassVar[int] = 0x83
    command_id: str
    json: bytes
    receipt: bytes | None = None

    def body(self) -> bytes:
        return cbor.encode([pack("cmd", self.command_id), self.json, self.receipt])

    @classmethod
    def read(cls, body: bytes) -> "Report":
        command, json, receipt = fields.items(body, 3, LONGEST_TO_RELAY)
        return cls(command_id=_command(command), json=_json(json), receipt=fields.maybe(_receipt, receipt))


class State(Struct, frozen=True, kw_only=True):
    """How the device is: `[body, receipt]`. `json`: the body of a heartbeat."""

    type: ClassVar[int] = 0x84
    json: bytes
    receipt: bytes | None = None

    def body(self) -> bytes:
        return cbor.encode([self.json, self.receipt])

    @classmethod
    def read(cls, body: bytes) -> "State":
        json, receipt = fields.items(body, 2, LONGEST_TO_RELAY)
        return cls(json=_json(json), receipt=fields.maybe(_receipt, receipt))


class Recording(Struct, frozen=True, kw_only=True):
    """A recording that the server hasn't confirmed.

    `[recording, create, create receipt, complete, complete receipt, content type, size, sha256]`. `create`: the body
    for POST recordings; `complete`: for upload-complete, null while it is still being recorded, as is the hash. `size`:
    how many bytes there are now; they may grow while `complete` is null.
    """

    type: ClassVar[int] = 0x85
    recording_id: str
    create: bytes
    create_receipt: bytes | None = None
    complete: bytes | None = None
    complete_receipt: bytes | None = None
    content_type: str = "audio/ogg"
    size: int
    sha256: bytes | None = None

    def body(self) -> bytes:
        return cbor.encode(
            [
                pack("rec", self.recording_id),
                self.create,
                self.create_receipt,
                self.complete,
                self.complete_receipt,
                self.content_type,
                self.size,
                self.sha256,
            ]
        )

    @classmethod
    def read(cls, body: bytes) -> "Recording":
        recording, create, created, complete, completed, kind, size, sha256 = fields.items(body, 8, LONGEST_TO_RELAY)
        if (complete is None) != (sha256 is None):
            raise ValueError("a whole recording has a hash, and no other")
        return cls(
            recording_id=_recording(recording),
            create=_json(create),
            create_receipt=fields.maybe(_receipt, created),
            complete=fields.maybe(_json, complete),
            complete_receipt=fields.maybe(_receipt, completed),
            content_type=fields.text(kind),
            size=fields.number(size),
            sha256=fields.maybe(_hash, sha256),
        )


class Piece(Struct, frozen=True, kw_only=True):
    """A piece of a recording: `[recording, offset, total, bytes, check]`.

    `total`: the recording's bytes so far. `data` is empty only at the end. `check`: the first 8 bytes of the SHA-256 of
    `data`; `read` raises ValueError where it is wrong.
    """

    type: ClassVar[int] = 0x86
    recording_id: str
    offset: int
    total: int
    data: bytes

    def body(self) -> bytes:
        return cbor.encode([pack("rec", self.recording_id), self.offset, self.total, self.data, _check(self.data)])

    @classmethod
    def read(cls, body: bytes) -> "Piece":
        recording, offset, total, data, check = fields.items(body, 5, LONGEST_TO_RELAY)
        data = fields.blob(data, MAX_PIECE, 0)
        if check != _check(data):
            raise ValueError("a piece that doesn't fit its check")
        offset, total = fields.number(offset), fields.number(total)
        if offset + len(data) > total or (not data and offset < total):
            raise ValueError("a piece that doesn't lie in its recording")
        return cls(recording_id=_recording(recording), offset=offset, total=total, data=data)


class Result(Struct, frozen=True, kw_only=True):
    """How a message of the relay was taken: `[its type, code, detail]`. 0 where its type isn't known.

    Codes are ResultCode; a code that isn't known is a refusal. `detail` is for people, but for GRANT_REFUSED: there it
    is the failure's code.
    """

    type: ClassVar[int] = 0x87
    about: int
    code: int
    detail: str = ""

    def body(self) -> bytes:
        return cbor.encode([self.about, int(self.code), self.detail])

    @classmethod
    def read(cls, body: bytes) -> "Result":
        about, code, detail = fields.items(body, 3, LONGEST_TO_RELAY)
        return cls(about=fields.number(about, 255), code=fields.number(code, 255), detail=fields.text(detail))


class Gone(Struct, frozen=True):
    """A recording that the device no longer has."""

    type: ClassVar[int] = 0x88
    recording_id: str

    def body(self) -> bytes:
        return cbor.encode(pack("rec", self.recording_id))

    @classmethod
    def read(cls, body: bytes) -> "Gone":
        return cls(_recording(cbor.decode(body, LONGEST_TO_RELAY)))


ToRelay = Welcome | Challenge | Report | State | Recording | Piece | Result | Gone
TO_RELAY: Final[dict[int, type[ToRelay]]] = {
    kind.type: kind for kind in (Welcome, Challenge, Report, State, Recording, Piece, Result, Gone)
}


def _check(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECK_BYTES]
