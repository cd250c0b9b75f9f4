"""A device on a broker: MQTT 3.1.1 as far as a recorder needs it, without a task, a thread or a timer of its own.

paho-mqtt connects in a thread that waits, needs a call a second for each connection, and 4 KiB where this takes one:
nothing for 100,000 of them. So this is the simulator's alone; the server and the reference recorder speak by paho.
"""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Final, cast

from rolltape.wire.mqtt import DOWN, topic

CONNECT: Final = 0x10
CONNACK: Final = 0x20
PUBLISH: Final = 0x30
PUBACK: Final = 0x40
SUBSCRIBE: Final = 0x82
SUBACK: Final = 0x90
LARGEST: Final = 1 << 20
_REFUSED: Final = 0x80
_names = count(1)


class Socket(asyncio.Protocol):
    """One connection, for one device or for many that share it as they would a gateway."""

    __slots__ = (
        "_buffer",
        "_client_id",
        "_credentials",
        "_keepalive",
        "_lines",
        "_number",
        "_subscribing",
        "_transport",
        "is_lost",
        "is_shared",
        "is_up",
    )

    def __init__(self, client_id: str | None, credentials: tuple[str, str] | None, keepalive: int) -> None:
        """`client_id`: the device's; None: it is shared."""
        self.is_shared = client_id is None
        self.is_up = self.is_lost = False
        self._client_id = client_id or f"sim-{next(_names)}"
        self._credentials = credentials
        self._keepalive = keepalive
        self._lines: dict[bytes, MqttLine] = {}
        self._subscribing: dict[int, MqttLine] = {}
        self._number = 0
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def add(self, line: "MqttLine") -> None:
        """From now on the line is on this connection, which tells it when it can be spoken on."""
        for name in line.hears:
            self._lines[name] = line
        if self.is_up:
            self._subscribe(line)

    def remove(self, line: "MqttLine") -> None:
        """The line is gone; with it the connection, if that was its own."""
        for name in line.hears:
            if self._lines.get(name) is line:
                del self._lines[name]
        if not self.is_shared:
            self.cut()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass
        if not (self.is_shared or self._lines):
            self._transport.abort()
            return
        flags, payload = 0x02, _text(self._client_id.encode())
        if self._credentials is not None:
            flags |= 0xC0
            payload += b"".join(_text(each.encode()) for each in self._credentials)
        head = _text(b"MQTT") + bytes((4, flags)) + self._keepalive.to_bytes(2, "big")
        self.write(_packet(CONNECT, head + payload))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while (found := _packet_at(buffer, at)) is not None:
            begin, end = found
            self._take(buffer[at], buffer[begin:end])
            at = end
        self._buffer = buffer[at:]
        if len(self._buffer) > LARGEST:
            self.cut()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_up, self.is_lost = False, True
        for line in {id(each): each for each in self._lines.values()}.values():
            line.lost()
        self._lines.clear()

    def publish(self, name: bytes, payload: bytes) -> bytes:
        """A message with QoS 1, as it travels."""
        return _packet(PUBLISH | 0x02, _text(name) + self._next().to_bytes(2, "big") + payload)

    def write(self, data: bytes) -> None:
        """Sends it, where the connection is still there."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause(self) -> None:
        """Reads no more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def close(self) -> None:
        """Lets what was said go out, and breaks."""
        if self._transport is not None:
            self._transport.close()

    def cut(self) -> None:
        """Breaks, at once."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, first: int, body: bytes) -> None:
        kind = first & 0xF0
        if kind == PUBLISH:
            self._take_publish(first, body)
        elif kind == CONNACK and len(body) == 2:
            self._take_connack(body[1])
        elif kind == SUBACK:
            line = self._subscribing.pop(int.from_bytes(body[:2], "big"), None)
            if line is not None and _REFUSED not in body[2:]:
                line.opened()

    def _take_connack(self, code: int) -> None:
        if code:
            self.cut()
            return
        self.is_up = True
        for line in {id(each): each for each in self._lines.values()}.values():
            self._subscribe(line)

    def _take_publish(self, first: int, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2], "big")
        line, begin = self._lines.get(body[2:end]), end
        if first & 0x06:
            begin += 2
            self.write(bytes((PUBACK, 2)) + body[end:begin])
        if line is not None:
            line.heard(body[begin:])

    def _subscribe(self, line: "MqttLine") -> None:
        number = self._next()
        self._subscribing[number] = line
        wanted = b"".join(_text(name) + b"\x01" for name in line.hears)
        self.write(_packet(SUBSCRIBE, number.to_bytes(2, "big") + wanted))

    def _next(self) -> int:
        self._number = self._number % 0xFFFF + 1
        return self._number


class MqttLine:
    """One device's. `opened()`, `heard(text)`, and `lost(refusal, close code)` once.

    `awaits`: the question that its device waits on, as its kind and, for an ack or a report, the command.
    """

    __slots__ = ("_heard", "_is_deaf", "_is_over", "_lost", "_opened", "_own", "_socket", "awaits", "hears")

    def __init__(
        self,
        own: tuple[str, str],
        opened: Callable[["MqttLine"], None],
        heard: Callable[["MqttLine", bytes], None],
        lost: Callable[["MqttLine", int | None, int | None], None],
    ) -> None:
        """`own`: project and device."""
        self.hears = tuple(topic(*own, leaf).encode() for leaf in DOWN)
        self.awaits: tuple[str, str | None] | None = None
        self._own = own
        self._opened, self._heard, self._lost = opened, heard, lost
        self._socket: Socket | None = None
        self._is_deaf = self._is_over = False

    def on(self, socket: Socket) -> None:
        """It goes over that connection."""
        self._socket = socket
        socket.add(self)

    def opened(self) -> None:
        """The broker has taken its subscriptions."""
        if not self._is_over:
            self._opened(self)

    def heard(self, text: bytes) -> None:
        """A message came."""
        if not (self._is_deaf or self._is_over):
            self._heard(self, text)

    def lost(self) -> None:
        """The connection is gone."""
        if not self._is_over:
            self._is_over = True
            self._lost(self, None, None)

    def say(self, text: bytes) -> None:
        """One message, on the topic of the question that is awaited."""
        if self._socket is not None:
            self._socket.write(self._message(text))

    def say_half(self, text: bytes) -> None:
        """Half of a message, and a break. On a connection that others share it would be their end too."""
        if self._socket is not None and not self._socket.is_shared:
            data = self._message(text)
            self._socket.write(data[: len(data) // 2])
        self.close()

    def fall_deaf(self) -> None:
        """Hears nothing from now on; the broker doesn't notice."""
        self._is_deaf = True
        if self._socket is not None and not self._socket.is_shared:
            self._socket.pause()

    def close(self) -> None:
        """Lets what was said go out, and breaks without a word."""
        if self._socket is None or self._socket.is_shared:
            asyncio.get_running_loop().call_soon(self.lost)
        else:
            self._socket.close()

    def cut(self) -> None:
        """Breaks, at once."""
        self._is_over = True
        if self._socket is not None:
            self._socket.remove(self)

    def _message(self, text: bytes) -> bytes:
        assert self._socket is not None
        assert self.awaits is not None, "a question was asked"
        return self._socket.publish(topic(*self._own, self.awaits[0]).encode(), text)


def _text(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _packet(first: int, body: bytes) -> bytes:
    length, left = bytearray(), len(body)
    while left > 0x7F:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    length.append(left)
    return bytes((first,)) + bytes(length) + body


def _packet_at(buffer: bytes, at: int) -> tuple[int, int] | None:
    """Where the body of the packet at `at` begins and ends; None where it isn't whole yet."""
    length = shift = 0
    for place in range(at + 1, min(at + 5, len(buffer))):
        length |= (buffer[place] & 0x7F) << shift
        shift += 7
        if buffer[place] < 0x80:
            end = place + 1 + length
            return (place + 1, end) if end <= len(buffer) else None
    return None
