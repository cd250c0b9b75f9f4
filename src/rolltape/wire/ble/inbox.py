"""From fragments to messages, one side of one connection. Whatever is wrong becomes a Refusal; the session goes on."""

from collections.abc import Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

from rolltape.wire.ble.frames import (
    LONGEST_TO_DEVICE,
    LONGEST_TO_RELAY,
    Assembler,
    Frame,
    Refusal,
    ResultCode,
)
from rolltape.wire.ble.to_device import TO_DEVICE, ToDevice
from rolltape.wire.ble.to_relay import TO_RELAY, ToRelay

MOST_ERRORS: Final = 8
"""So many refusals with no good message in between end the connection."""


class Message(Protocol):
    """A message of either direction."""

    @property
    def type(self) -> int: ...
    def body(self) -> bytes: ...


T_co = TypeVar("T_co", covariant=True)


class Inbox(Generic[T_co]):
    """Reads one direction of one connection. Make a new one for each connection."""

    def __init__(self, kinds: Mapping[int, Any], longest: int) -> None:
        self._kinds = kinds
        self._assembler = Assembler(longest)
        self._errors = 0

    def feed(self, fragment: bytes) -> list[T_co | Refusal]:
        """What the fragment brings about, in order; usually nothing or one message."""
        found = [self._read(item) for item in self._assembler.feed(bytes(fragment))]
        for item in found:
            self._errors = self._errors + 1 if isinstance(item, Refusal) else 0
        return found

    @property
    def is_hopeless(self) -> bool:
        """Whether the connection should be ended: nothing but errors."""
        return self._errors >= MOST_ERRORS

    def _read(self, item: Frame | Refusal) -> T_co | Refusal:
        if isinstance(item, Refusal):
            return item
        kind = self._kinds.get(item.type)
        if kind is None:
            return Refusal(item.type, ResultCode.UNKNOWN_MESSAGE, f"type {item.type:#04x} is not known here")
        try:
            message: T_co = kind.read(item.body)
        except ValueError as error:
            return Refusal(item.type, ResultCode.BAD_BODY, str(error)[:200])
        return message


def device_inbox() -> Inbox[ToDevice]:
    """Reads what a relay writes."""
    return Inbox(TO_DEVICE, LONGEST_TO_DEVICE)


def relay_inbox() -> Inbox[ToRelay]:
    """Reads what a device notifies."""
    return Inbox(TO_RELAY, LONGEST_TO_RELAY)


def frame(message: Message) -> Frame:
    """The message as it is cut. ValueError where it is too long to be sent."""
    body = message.body()
    most = LONGEST_TO_RELAY if message.type & 0x80 else LONGEST_TO_DEVICE
    if len(body) > most:
        raise ValueError(f"a message of {len(body)} bytes, more than {most}")
    return Frame(message.type, body)
