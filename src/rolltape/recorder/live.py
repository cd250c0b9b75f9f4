"""Keeping the live channel: opened as soon as may be, watched while it is up, and opened again after it dropped.

A fleet must not come back as one: the first wait is drawn from between nothing and the whole, and so is each longer
one. While the channel can't be had, the long poll does its work.
"""

import asyncio
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from rolltape.backoff import Backoff
from rolltape.recorder.channel import SocketWire
from rolltape.recorder.heard import UNREADABLE, FrameHeard, HelloHeard, offers
from rolltape.recorder.intake import Intake
from rolltape.recorder.log import log
from rolltape.recorder.obey import Obey
from rolltape.recorder.parts import Parts
from rolltape.recorder.pulse import Pulse
from rolltape.recorder.transport import TokenEnded, Unreachable
from rolltape.recorder.upgrade import Upgrade
from rolltape.wire.channel import MAX_HAVE, VERSION, Close

GIVE_UP_SEC = 2.0
"""When the channel isn't up by then, the long poll doesn't wait for it any longer."""
STEADY_SEC = 30.0
"""A channel that held for so long was a good one: the waits begin anew."""
_LATER = frozenset({Close.NO_HELLO, Close.REPLACED, Close.TRY_LATER})
"""Closed so, the channel isn't tried again soon: another recorder has this token, or the server has no room."""


class Live:
    """The loop that keeps the channel."""

    def __init__(self, parts: Parts, intake: Intake, obey: Obey, pulse: Pulse) -> None:
        self._parts = parts
        self._channel = parts.channel
        self._intake = intake
        self._obey = obey
        self._pulse = pulse
        self._upgrade = Upgrade(parts.settings, parts.identity, parts.clock)
        self._junk = 0

    async def run(self) -> None:
        """Until the token ends."""
        settings = self._parts.settings
        backoff = Backoff(settings.channel_first_sec, settings.channel_most_sec, self._parts.random, least=0.0)
        while not self._parts.ended.is_set():
            try:
                pause = await self._once(backoff)
            except Unreachable as trouble:
                log(f"no channel: {trouble}")
                self._channel.missed()
                pause = max(backoff.next(), trouble.retry_after or 0.0)
            except TokenEnded:
                self._channel.missed()
                await self._parts.end_token()
                return
            if pause > settings.channel_first_sec:
                self._channel.missed()
            await self._parts.clock.sleep(pause)

    async def _once(self, backoff: Backoff) -> float:
        """One channel, from its opening to its end; how long to wait until the next."""
        hope = asyncio.create_task(self._hope())
        try:
            socket = await self._upgrade.open()
            began = self._parts.clock.monotonic()
            try:
                await self._keep(socket)
            finally:
                self._channel.dropped()
                await socket.close()
        finally:
            hope.cancel()
        log(f"the channel ended: {socket.close_code} {socket.close_reason or ''}".rstrip())
        if socket.close_code == Close.REVOKED:
            raise TokenEnded
        if self._parts.clock.monotonic() - began >= STEADY_SEC:
            backoff.succeeded()
        return backoff.longest() if socket.close_code in _LATER else backoff.next()

    async def _hope(self) -> None:
        await self._parts.clock.sleep(GIVE_UP_SEC)
        self._channel.missed()

    async def _keep(self, socket: ClientConnection) -> None:
        try:
            hello = await self._parts.clock.wait(self._greet(socket), self._parts.settings.http_timeout_sec)
        except ConnectionClosed:
            return
        if hello is None:
            raise Unreachable("no answer to hello")
        self._channel.opened(SocketWire(socket))
        log("the channel is up")
        reader = asyncio.create_task(self._read(socket))
        try:
            await self._watch(socket, reader, self._longest_quiet(hello))
        finally:
            reader.cancel()
            await asyncio.wait({reader})
        if not reader.cancelled():
            reader.result()

    async def _greet(self, socket: ClientConnection) -> HelloHeard:
        """Say hello and take the answer, before any offer. Raises Unreachable, TokenEnded, ConnectionClosed."""
        parts = self._parts
        have = [entry.id for entry in parts.journal.open_entries()][:MAX_HAVE]
        sent = parts.clock.monotonic()
        await self._channel.say(SocketWire(socket), {"type": "hello", "v": VERSION, "have": have, **self._pulse.body()})
        while True:
            text = await _text_of(socket)
            frame = self._frame(text)
            if frame is None:
                continue
            if frame.type == "ping":
                await self._pong(socket, frame)
            elif frame.type == "error":
                raise Unreachable(f"the hello was refused: {frame.refusal}")
            elif frame.type == "hello":
                hello = _hello_in(text)
                await self._pulse.take(hello, sent)
                return hello

    async def _read(self, socket: ClientConnection) -> None:
        """Take frames until there are no more."""
        try:
            while True:
                text = await _text_of(socket)
                frame = self._frame(text)
                if frame is not None:
                    await self._take(socket, frame, text)
        except ConnectionClosed:
            return

    def _frame(self, text: bytes) -> FrameHeard | None:
        """Any bytes show that the line is alive; what can't be read is passed over."""
        self._channel.heard_at = self._parts.clock.monotonic()
        try:
            return msgspec.json.decode(text, type=FrameHeard)
        except UNREADABLE:
            self._junk += 1
            if self._junk == 1:
                log("a frame that can't be read is passed over; so will others be")
            return None

    async def _take(self, socket: ClientConnection, frame: FrameHeard, text: bytes) -> None:
        if frame.type == "offer":
            self._intake.take(offers([frame.command]))
        elif frame.type == "revoked" and frame.id is not None:
            self._obey.revoked(frame.id, frame.status)
        elif frame.type == "ping":
            await self._pong(socket, frame)
        else:
            self._channel.heard(frame, text)

    async def _pong(self, socket: ClientConnection, frame: FrameHeard) -> None:
        await self._channel.say(
            SocketWire(socket), {"type": "pong"} | ({} if frame.ref is None else {"ref": frame.ref})
        )

    def _longest_quiet(self, hello: HelloHeard) -> float:
        """When to ask whether the server is still there. On 4G it says nothing of itself, and each word costs."""
        silence, ping = min(max(hello.silence_sec, 2.0), 3600.0), max(hello.ping_sec, 1.0)
        kinds = self._parts.settings.connection_type
        is_metered = "4g" in kinds and "wifi" not in kinds
        return min(silence / 2, ping if is_metered else 1.5 * ping)

    async def _watch(self, socket: ClientConnection, reader: asyncio.Task[None], quiet_sec: float) -> None:
        """Until the channel ends, by itself or because nothing is heard on it any more."""
        clock = self._parts.clock
        while not (reader.done() or socket.close_code):
            left = self._channel.heard_at + quiet_sec - clock.monotonic()
            if left > 0:
                await clock.wait(asyncio.wait({reader}), left)
                continue
            heard_at = self._channel.heard_at
            await self._channel.say(SocketWire(socket), {"type": "ping"})
            await clock.wait(asyncio.wait({reader}), self._parts.settings.http_timeout_sec)
            if self._channel.heard_at == heard_at and not reader.done():
                log("the channel is silent, so it is closed")
                socket.transport.abort()
                return


async def _text_of(socket: ClientConnection) -> bytes:
    """The next text frame. Frames of bytes are not spoken here, and passed over."""
    while True:
        frame: Any = await socket.recv()
        if isinstance(frame, str):
            return frame.encode("utf-8", "surrogatepass")


def _hello_in(text: bytes) -> HelloHeard:
    try:
        return msgspec.json.decode(text, type=HelloHeard)
    except UNREADABLE as error:
        raise Unreachable(f"the answer to hello can't be read: {error}") from error
