"""uvicorn's WebSocket protocol, with what ASGI has no word for: to cut a connection whose other end reads no more.

A close waits until what was sent before it has gone out; to a device that doesn't read that is for ever.
"""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from rolltape.web.call import Message, Scope, Send

_EXTENSION = "rolltape.abort"


class ChannelProtocol(WebSocketsSansIOProtocol):
    """One connection."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # the application's task is made, and has yet to begin
            scope: Any = self.scope
            scope["extensions"][_EXTENSION] = {"abort": self.transport.abort}


class Socket:
    """A WebSocket that was accepted, as a channel's line."""

    __slots__ = ("_send", "abort")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self.abort = scope["extensions"][_EXTENSION]["abort"]

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
