"""A device's WebSocket: a protocol without a task of its own, by the sans-I/O half of `websockets`."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from rolltape.simulate.pool import Origin
from rolltape.wire.channel import SUBPROTOCOL

CHANNEL_PATH: Final = "/v1/devices/me/channel"
_LARGEST: Final = 1 << 20


class Line(asyncio.Protocol):
    """One connection. `opened()`, `heard(text)`, and `lost(refusal, close code)` once; a refusal is an HTTP status.

    `awaits`: the question that its device waits on, as its kind and, for an ack or a report, the command.
    """

    def __init__(
        self,
        origin: Origin,
        token: str,
        opened: Callable[["Line"], None],
        heard: Callable[["Line", bytes], None],
        lost: Callable[["Line", int | None, int | None], None],
    ) -> None:
        uri = WebSocketURI(origin.tls is not None, origin.host, origin.port, origin.prefix + CHANNEL_PATH, "")
        self._protocol = ClientProtocol(uri, subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=_LARGEST)
        self._token = token
        self._opened, self._heard, self._lost = opened, heard, lost
        self._parts = b""
        self._transport: asyncio.Transport | None = None
        self._is_cut = False
        self.awaits: tuple[str, str | None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass
        if self._is_cut:
            self._transport.abort()
            return
        request = self._protocol.connect()
        request.headers["Authorization"] = f"Bearer {self._token}"
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                if self._protocol.state is State.OPEN:
                    self._opened(self)
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT):
                self._frame(event)
        self._flush()

    def eof_received(self) -> None:
        self._protocol.receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        failure = self._protocol.handshake_exc
        refusal = failure.response.status_code if isinstance(failure, InvalidStatus) else None
        self._lost(self, refusal, self._protocol.close_code)

    def say(self, text: bytes) -> None:
        """Sends one frame, where the line is still there."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(text)
            self._flush()

    def say_half(self, text: bytes) -> None:
        """Sends half of a frame, and breaks."""
        if self._protocol.state is State.OPEN and self._transport is not None:
            self._protocol.send_text(text)
            data = b"".join(self._protocol.data_to_send())
            self._transport.write(data[: len(data) // 2])
            self._transport.close()

    def fall_deaf(self) -> None:
        """Hears nothing from now on; the server doesn't notice."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def close(self) -> None:
        """Lets what was said go out, and breaks without a word."""
        if self._transport is not None:
            self._transport.close()

    def cut(self) -> None:
        """Breaks, at once."""
        self._is_cut = True
        if self._transport is not None:
            self._transport.abort()

    def _frame(self, frame: Frame) -> None:
        self._parts += bytes(frame.data)
        if frame.fin:
            text, self._parts = self._parts, b""
            self._heard(self, text)

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:  # the closing handshake is through
                self._transport.close()
