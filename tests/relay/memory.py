"""A radio in memory: links that lose nothing, until a test cuts them at a fragment that it names."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from rolltape.recorder.ble.link import AirSession, LinkClosed
from rolltape.relay.link import LinkLost, NotPaired
from rolltape.relay.radio import Sighting
from rolltape.wire.ble.frames import Refusal, cut
from rolltape.wire.ble.inbox import Message, device_inbox, frame
from rolltape.wire.ble.service import new_tag
from rolltape.wire.ble.to_relay import Result


class MemoryLink:
    """Both ends of one connection: the relay's Link, and the device's."""

    def __init__(self, device: AirSession, mtu: int, cut_after: int | None, may_pair: bool) -> None:
        self._device, self._mtu, self._left, self._may_pair = device, mtu, cut_after, may_pair
        self._to_relay: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._sending = asyncio.Lock()
        self._to_device: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.is_encrypted = False
        self.is_gone = False
        self.fragments = 0
        self._task = asyncio.ensure_future(self._device_side())

    @property
    def mtu(self) -> int:
        return self._mtu

    def _passes(self) -> bool:
        if self._left is not None and self.fragments >= self._left:
            self.cut()
        self.fragments += not self.is_gone
        return not self.is_gone

    def cut(self) -> None:
        """The connection is gone, for both."""
        self.is_gone = True
        self._to_relay.put_nowait(None)
        self._to_device.put_nowait(None)

    # The relay's end

    async def write(self, fragment: bytes) -> None:
        if not self._passes():
            raise LinkLost("cut")
        self._to_device.put_nowait(fragment)

    async def read(self) -> bytes:
        if self.is_gone and self._to_relay.empty():
            raise LinkLost("cut")
        fragment = await self._to_relay.get()
        if fragment is None:
            raise LinkLost("cut")
        return fragment

    async def pair(self) -> None:
        if not self._may_pair:
            raise NotPaired("it won't")
        self.is_encrypted = True

    async def close(self) -> None:
        self.cut()
        await asyncio.gather(self._task, return_exceptions=True)

    # The device's end

    async def send(self, message: Message) -> None:
        async with self._sending:  # each message whole, as a radio's link sends it
            for fragment in cut(frame(message), self._mtu):
                await self.notify(fragment)

    async def notify(self, fragment: bytes) -> None:
        """Any bytes at all."""
        await asyncio.sleep(0)
        if not self._passes():
            raise LinkClosed
        self._to_relay.put_nowait(fragment)

    async def _device_side(self) -> None:
        inbox: Any = device_inbox()
        try:
            await self._device.opened(self)
            while (fragment := await self._to_device.get()) is not None:
                for item in inbox.feed(fragment):
                    if isinstance(item, Refusal):
                        await self.send(Result(about=item.about, code=item.code, detail=item.detail))
                    else:
                        await self._device.received(item)
        except LinkClosed:
            pass
        finally:
            self.cut()
            self._device.closed()


class MemoryRadio:
    """The devices in `around` advertise all the time."""

    def __init__(self, *around: AirSession, mtu: int = 185, may_pair: bool = True) -> None:
        self.around = list(around)
        self.mtu, self.may_pair = mtu, may_pair
        self.cuts: list[int | None] = []
        """Where the next connections are cut, one after the other."""
        self.links: list[MemoryLink] = []
        self.at_once = self.most_at_once = 0
        self._seen: Callable[[Sighting], None] = lambda sighting: None

    @asynccontextmanager
    async def scanning(self, seen: Callable[[Sighting], None]) -> AsyncIterator[None]:
        advertising = asyncio.ensure_future(self._advertise(seen))
        try:
            yield
        finally:
            advertising.cancel()

    async def _advertise(self, seen: Callable[[Sighting], None]) -> None:
        while True:
            for device in self.around:
                seen(Sighting("", new_tag(device.device_id), device))
            await asyncio.sleep(0.02)  # the rhythm of advertising; nothing waits for it

    async def connect(self, sighting: Sighting, timeout: float) -> MemoryLink:
        if any(link._device is sighting.handle and not link.is_gone for link in self.links):
            raise LinkLost("it talks to another relay")
        link = MemoryLink(sighting.handle, self.mtu, self.cuts.pop(0) if self.cuts else None, self.may_pair)
        self.links.append(link)
        return link
