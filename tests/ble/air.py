"""The air of the suite: where a recorder is put, and how a real bleak client gets to it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice

from rolltape.clock import Clock, SystemClock
from rolltape.recorder.ble.adapter import on_adapter
from rolltape.recorder.ble.link import AirSession
from rolltape.recorder.ble.peripheral import Peripheral
from rolltape.testing.radio import VirtualRadio
from rolltape.wire.ble import service
from rolltape.wire.ble.frames import Frame, Refusal, cut
from rolltape.wire.ble.inbox import Message, frame, relay_inbox

T = TypeVar("T")
MTUS = [23, 185, 517]
PATIENCE = 240.0
"""How long a story may take before it is a fault. Nothing is measured by it."""


def told(story: Coroutine[Any, Any, T]) -> T:
    """Run a story to its end."""

    async def within() -> T:
        async with asyncio.timeout(PATIENCE):
            return await story

    return asyncio.run(within())


class Place(Protocol):
    """One event loop's air."""

    radio: VirtualRadio | None
    client: dict[str, Any]
    scanner: dict[str, Any]

    def recorder(self, session: AirSession, clock: Clock | None = None) -> Any:
        """A recorder that advertises, as long as the context lasts."""
        ...


class Air(Protocol):
    """A virtual or a real one."""

    @property
    def mtu(self) -> int: ...
    def open(self) -> Any: ...


class _Virtual:
    def __init__(self, radio: VirtualRadio, client: dict[str, Any], scanner: dict[str, Any]) -> None:
        self.radio: VirtualRadio | None = radio
        self.client = client
        self.scanner = scanner

    @asynccontextmanager
    async def recorder(self, session: AirSession, clock: Clock | None = None) -> AsyncIterator[Peripheral]:
        assert self.radio is not None
        peripheral = Peripheral(self.radio.hci(), session, clock or SystemClock(), advertise_ms=5)
        async with _running(peripheral):
            yield peripheral


class VirtualAir:
    def __init__(self, mtu: int) -> None:
        self.mtu = mtu

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Place]:
        radio = VirtualRadio()
        async with radio.adapter(mtu=self.mtu) as adapter:
            yield _Virtual(radio, {"backend": adapter.client}, {"backend": adapter.scanner})


class _Real:
    def __init__(self, adapter: str, peripheral: str) -> None:
        self.radio: VirtualRadio | None = None
        self.client: dict[str, Any] = {"bluez": {"adapter": adapter}}
        self.scanner = self.client
        self._peripheral = peripheral

    @asynccontextmanager
    async def recorder(self, session: AirSession, clock: Clock | None = None) -> AsyncIterator[Peripheral]:
        async with (
            on_adapter(self._peripheral, session, clock or SystemClock()) as peripheral,
            _running(peripheral),
        ):
            yield peripheral


class RealAir:
    mtu = 0

    def __init__(self, adapter: str, peripheral: str) -> None:
        self._adapters = adapter, peripheral

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Place]:
        yield _Real(*self._adapters)


@asynccontextmanager
async def _running(peripheral: Peripheral) -> AsyncIterator[None]:
    up = asyncio.Event()
    running = asyncio.create_task(peripheral.run(up.set))
    try:
        waiting = asyncio.create_task(up.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def find(place: Place, device_id: str) -> tuple[BLEDevice, bytes]:
    """Scan for a device by its tag."""
    async with BleakScanner(service_uuids=[service.SERVICE], **place.scanner) as scanner:
        async for device, advertised in scanner.advertisement_data():
            tag = service.advertised_tag(advertised.service_data)
            if tag is not None and service.is_tag_of(device_id, tag):
                return device, tag
    raise AssertionError("the scan ended")


class Caller:
    """A relay's end of one connection: a real bleak client, and the messages that come over it."""

    def __init__(self, client: BleakClient, gone: asyncio.Event) -> None:
        self.client = client
        self.gone = gone
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        self.fragments: list[bytes] = []
        self._inbox = relay_inbox()

    @property
    def mtu(self) -> int:
        rx = self.client.services.get_characteristic(service.RX)
        assert rx is not None
        return rx.max_write_without_response_size + 3

    async def listen(self) -> None:
        await self.client.start_notify(service.TX, lambda _, data: self._notified(bytes(data)))

    def _notified(self, fragment: bytes) -> None:
        self.fragments.append(fragment)
        for item in self._inbox.feed(fragment):
            self.heard.put_nowait(item)

    async def send(self, message: Message | Frame, *, response: bool = True) -> None:
        whole = message if isinstance(message, Frame) else frame(message)
        for fragment in cut(whole, self.mtu):
            await self.write(fragment, response=response)

    async def write(self, fragment: bytes, *, response: bool = True) -> None:
        await self.client.write_gatt_char(service.RX, fragment, response=response)

    async def hear(self) -> Any:
        """The next message or Refusal; None when the link is gone first."""
        hearing, going = asyncio.create_task(self.heard.get()), asyncio.create_task(self.gone.wait())
        try:
            await asyncio.wait({hearing, going}, return_when=asyncio.FIRST_COMPLETED)
            return hearing.result() if hearing.done() else None
        finally:
            hearing.cancel()
            going.cancel()

    async def hear_message(self) -> Any:
        """The next message; a Refusal or the end of the link is a fault."""
        item = await self.hear()
        assert item is not None, "the link is gone"
        assert not isinstance(item, Refusal), item
        return item


@asynccontextmanager
async def call(place: Place, device: BLEDevice, *, listen: bool = True) -> AsyncIterator[Caller]:
    """Connect to a device, and subscribe to TX."""
    gone = asyncio.Event()
    client = BleakClient(device, disconnected_callback=lambda _: gone.set(), **place.client)
    async with client:
        caller = Caller(client, gone)
        if listen:
            await caller.listen()
        yield caller
