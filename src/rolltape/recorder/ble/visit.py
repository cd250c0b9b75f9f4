"""One connection of one relay, from the moment that it stands until it is gone."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from bumble.core import BaseBumbleError
from bumble.device import Connection
from bumble.gatt import Characteristic

from rolltape.clock import Clock
from rolltape.recorder.ble.link import AirSession, LinkClosed
from rolltape.recorder.log import log
from rolltape.wire.ble.frames import Refusal, ResultCode, cut
from rolltape.wire.ble.inbox import Message, device_inbox, frame
from rolltape.wire.ble.to_device import ToDevice
from rolltape.wire.ble.to_relay import Result

HELLO_SECONDS: Final = 10.0
"""A relay that says nothing for so long after connecting is sent away: only one can be there at a time."""
QUIET_SECONDS: Final = 120.0
"""And so is one that falls silent for so long."""
_MOST_WAITING = 32
_IN_FLIGHT = 8


class Visit:
    """Is the session's Link. `wrote` and `listens` are called by the GATT server, `gone` by the radio."""

    def __init__(self, connection: Connection, tx: Characteristic[bytes], session: AirSession, clock: Clock) -> None:
        self._connection = connection
        self._tx = tx
        self._session = session
        self._clock = clock
        self._inbox = device_inbox()
        self._waiting: asyncio.Queue[ToDevice | Refusal | None] = asyncio.Queue()
        self._sending = asyncio.Lock()
        self._listening = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def is_encrypted(self) -> bool:
        pairing = self._connection.device.smp_manager.sessions.get(self._connection.handle)
        return bool(self._connection.is_encrypted and pairing is not None and pairing.sc)

    @property
    def mtu(self) -> int:
        return int(self._connection.att_mtu)

    @property
    def is_listening(self) -> bool:
        """Whether the relay has subscribed to TX: before that, nothing that it writes could be answered."""
        return self._listening.is_set()

    def listens(self) -> None:
        """The relay has subscribed to TX."""
        self._listening.set()

    def wrote(self, fragment: bytes) -> None:
        """The relay has written to RX."""
        for item in self._inbox.feed(fragment):
            self._take(item)
        if self._inbox.is_hopeless:
            self._waiting.put_nowait(None)

    def _take(self, item: ToDevice | Refusal) -> None:
        if self._waiting.qsize() >= 2 * _MOST_WAITING:
            self._waiting.put_nowait(None)
        elif self._waiting.qsize() >= _MOST_WAITING and not isinstance(item, Refusal):
            self._waiting.put_nowait(Refusal(item.type, ResultCode.BUSY, "too much at once: say it again later"))
        else:
            self._waiting.put_nowait(item)

    def gone(self) -> None:
        """The connection has ended."""
        self._ended.set()
        self._listening.set()
        self._waiting.put_nowait(None)

    async def run(self) -> None:
        """Until the connection has ended and the session has been told."""
        await self._clock.wait(self._listening.wait(), HELLO_SECONDS)
        if self._listening.is_set() and not self._ended.is_set():
            try:
                await self._talk()
            except LinkClosed:
                pass
            except Exception as error:
                log(f"fault in a conversation over BLE: {type(error).__name__}: {error}")
            finally:
                self._session.closed()
        await self.close()
        await self._ended.wait()

    async def _talk(self) -> None:
        await self._session.opened(self)
        patience = HELLO_SECONDS
        while (item := await self._clock.wait(self._waiting.get(), patience)) is not None:
            if isinstance(item, Refusal):
                await self.send(Result(about=item.about, code=item.code, detail=item.detail))
            else:
                await self._session.received(item)
                patience = QUIET_SECONDS

    async def send(self, message: Message) -> None:
        async with self._sending:
            for number, fragment in enumerate(cut(frame(message), self.mtu)):
                if self._ended.is_set():
                    raise LinkClosed
                await self._connection.device.gatt_server.notify_subscriber(self._connection, self._tx, fragment)
                if number % _IN_FLIGHT == _IN_FLIGHT - 1:
                    await self._room()

    async def _room(self) -> None:
        """Wait until the controller has taken what it was given: a long message must not pile up in here."""
        with contextlib.suppress(ValueError):  # the link is gone; the next fragment finds that out
            await self._connection.drain()

    async def close(self) -> None:
        if not self._ended.is_set():
            with contextlib.suppress(BaseBumbleError):
                await self._connection.disconnect()


def watch(connection: Connection, gone: Callable[[], None]) -> None:
    """Call `gone` when the connection has ended."""
    connection.on(connection.EVENT_DISCONNECTION, lambda _reason: gone())
