"""The GATT service: its UUIDs, what is advertised, and what INFO says.

The advertisement tells neither serial number nor state. Who knows the device's id can recognise its tag, nobody else:
3 bytes of chance `r`, then the first 5 bytes of HMAC-SHA256(the device's id in ASCII, "rolltape tag" || r).
"""

import hmac
import os
import uuid
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

VERSION: Final = 1
"""The version of the messages. A side that has another one says so in HELLO and gets ResultCode.VERSION."""

SERVICE: Final = "7a0b0001-52a4-4c8e-9d8c-5e6f70c1b2a3"
RX: Final = "7a0b0002-52a4-4c8e-9d8c-5e6f70c1b2a3"
"""Relay to device: write, write without response."""
TX: Final = "7a0b0003-52a4-4c8e-9d8c-5e6f70c1b2a3"
"""Device to relay: notify."""
INFO: Final = "7a0b0004-52a4-4c8e-9d8c-5e6f70c1b2a3"
"""Read: version, flags, tag."""
PAIR: Final = "7a0b0005-52a4-4c8e-9d8c-5e6f70c1b2a3"
"""Read, on an encrypted link only: for systems that pair when an attribute asks for it, and no sooner."""

TAG_BYTES: Final = 8
TAG_SECONDS: Final = 15 * 60
"""A tag and the random address are used no longer than this, and never again after a connection."""
_CHANCE_BYTES = 3
_INFO_BYTES = 2 + TAG_BYTES
_HOLDS = 0x01
_FLAGS_FIELD = bytes([2, 0x01, 0x06])  # general discoverable, no BR/EDR
_UUIDS_FIELD, _DATA_FIELD = 0x07, 0x21  # complete list of 128-bit UUIDs; service data with a 128-bit UUID


class Info(Struct, frozen=True):
    """What INFO says. `holds`: there are reports or recordings that no signed answer has confirmed."""

    version: int
    holds: bool
    tag: bytes

    def encode(self) -> bytes:
        """10 bytes."""
        return bytes([self.version, _HOLDS if self.holds else 0]) + self.tag

    @classmethod
    def decode(cls, data: bytes) -> "Info":
        """ValueError for fewer than 10 bytes; what comes behind is passed over, as are unknown flags."""
        if len(data) < _INFO_BYTES:
            raise ValueError(f"INFO of {len(data)} bytes, fewer than {_INFO_BYTES}")
        return cls(data[0], bool(data[1] & _HOLDS), bytes(data[2:_INFO_BYTES]))


def new_tag(device_id: str) -> bytes:
    """A fresh tag of a device, 8 bytes."""
    return make_tag(device_id, os.urandom(_CHANCE_BYTES))


def make_tag(device_id: str, chance: bytes) -> bytes:
    """The tag of a device with these 3 bytes of chance. ValueError for another number of bytes."""
    if len(chance) != _CHANCE_BYTES:
        raise ValueError(f"a tag takes {_CHANCE_BYTES} bytes of chance")
    return chance + hmac.digest(device_id.encode("ascii"), b"rolltape tag" + chance, "sha256")[: TAG_BYTES - 3]


def is_tag_of(device_id: str, tag: bytes) -> bool:
    """Whether the device could have made the tag."""
    return len(tag) == TAG_BYTES and hmac.compare_digest(make_tag(device_id, bytes(tag[:_CHANCE_BYTES])), tag)


def recognise(tag: bytes, device_ids: Iterable[str]) -> str | None:
    """Whose tag it is, of these devices; None when it is nobody's."""
    return next((device_id for device_id in device_ids if is_tag_of(device_id, tag)), None)


def advertisement() -> bytes:
    """What is advertised: flags, and the service's UUID. 21 bytes."""
    return _FLAGS_FIELD + _field(_UUIDS_FIELD, _on_air(SERVICE))


def scan_response(tag: bytes) -> bytes:
    """What a scanner that asks is told: the service's UUID with the tag. 26 bytes."""
    return _field(_DATA_FIELD, _on_air(SERVICE) + tag)


def advertised_tag(service_data: Mapping[str, bytes]) -> bytes | None:
    """The tag among the service data of a scan (UUID to bytes), or None where there is none of 8 bytes."""
    tag = service_data.get(SERVICE)
    return bytes(tag) if tag is not None and len(tag) == TAG_BYTES else None


def _field(kind: int, data: bytes) -> bytes:
    return bytes([1 + len(data), kind]) + data


def _on_air(name: str) -> bytes:
    """A UUID as it travels: lowest byte first (Core Specification, Vol 3, Part B, 2.5.1)."""
    return uuid.UUID(name).bytes[::-1]
