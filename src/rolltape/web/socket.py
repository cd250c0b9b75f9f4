"""uvicorn's WebSocket protocol, with what ASGI has no word for: to cut a connection whose other end reads no more.

A close waits until what was sent before it has gone out; to a device that doesn't read that is for ever.
"""

from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from rolltape.web.call import Header, Message, Scope, Send
from rolltape.web.handshake import Handshake

_EXTENSION = "rolltape.abort"
MOST_PIECES = 16_384
"""No message comes in more pieces: empty ones would never add up to one that is too long."""


class ChannelProtocol(WebSocketsSansIOProtocol):
    """One connection."""

    def __init__(self, config: Config, *state: Any, **more: Any) -> None:
        super().__init__(config, *state, **more)
        self.conn = Handshake(max_size=config.ws_max_size, logger=self.logger)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and self.conn.handshake_exc is not None:
            self.handshake_initiated = self.handshake_complete = self.close_sent = True
            self.transport.write(b"".join(self.conn.data_to_send()))  # too long to be read; uvicorn would wait for ever
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # the application's task is made, and has yet to begin
            scope: Any = self.scope
            scope["extensions"][_EXTENSION] = {"abort": self.transport.abort, "forget": self.forget_handshake}

    def handle_ping(self) -> None:
        """A pong, unless the other end reads none: those that it sends pings and doesn't read must not pile up."""
        pong = self.conn.data_to_send()
        if self.writable.is_set():
            self.transport.write(b"".join(pong))

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) < MOST_PIECES:
            super().handle_cont(event)
        else:
            self.transport.abort()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # uvicorn would log each refusal as an application that forgot to answer

    def forget_handshake(self) -> None:
        """Lets go of what the handshake was made of: a channel lives for days, and there are thousands."""
        kept: Any = self
        kept.request = kept.response = None
        kept.scope.clear()


class Socket:
    """A WebSocket, as a channel's line."""

    __slots__ = ("_forget", "_send", "abort")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self.abort = scope["extensions"][_EXTENSION]["abort"]
        self._forget = scope["extensions"][_EXTENSION]["forget"]

    async def accept(self, subprotocol: str, headers: list[Header]) -> None:
        """Says yes. What the request said is gone after this. Raises OSError when the line is gone already."""
        await self._out({"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers})
        self._forget()

    async def send(self, text: str) -> None:
        """One text frame; comes back when there is room for the next. Raises OSError once the line is gone."""
        await self._out({"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str) -> None:
        """Closes it. Raises OSError once the line is gone."""
        await self._out({"type": "websocket.close", "code": code, "reason": reason})

    async def _out(self, message: Message) -> None:
        try:
            await self._send(message)
        except RuntimeError as error:  # uvicorn's word for: it was closed for a fault in the protocol
            raise ConnectionResetError from error
