"""A radio as the gateway needs it, and the real one, by bleak (the extra `ble`)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rolltape.relay.link import Link, LinkLost, NotPaired
from rolltape.wire.ble.frames import MIN_MTU
from rolltape.wire.ble.service import PAIR, RX, SERVICE, TX, advertised_tag

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.client import BaseBleakClient
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

_ATT_HEADER = 3
_MOST_FRAGMENTS = 8192
_CLOSE_SEC = 5.0


class NoRadio(Exception):
    """There is no radio that can be used; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A device that advertises the service. `handle` is the radio's own."""

    address: str
    tag: bytes
    handle: Any


class Radio(Protocol):
    """What can scan and connect, both at once."""

    def scanning(self, seen: Callable[[Sighting], None]) -> contextlib.AbstractAsyncContextManager[None]:
        """Scan while inside; `seen` is called for each advertisement of the service. Raises NoRadio."""
        ...

    async def connect(self, sighting: Sighting, timeout: float) -> Link:
        """A connection with notifications on. Raises LinkLost."""
        ...


class BleakRadio:
    """A radio by bleak. `scanner`, `client`: bleak backends, for another radio than the system's."""

    def __init__(
        self,
        adapter: str | None = None,
        *,
        scanner: "type[BaseBleakScanner] | None" = None,
        client: "type[BaseBleakClient] | None" = None,
    ) -> None:
        try:
            import bleak
        except ImportError as error:
            raise NoRadio("BLE needs bleak: pip install 'rolltape[ble]'") from error
        self._bleak = bleak
        self._scanner, self._client = scanner, client
        self._connecting = asyncio.Lock()  # BlueZ makes one connection at a time
        self._bluez: Any = {} if adapter is None else {"adapter": adapter}

    @asynccontextmanager
    async def scanning(self, seen: Callable[[Sighting], None]) -> AsyncIterator[None]:
        def heard(device: "BLEDevice", data: "AdvertisementData") -> None:
            tag = advertised_tag(data.service_data)
            if tag is not None:
                seen(Sighting(device.address, tag, device))

        scanner = self._bleak.BleakScanner(heard, service_uuids=[SERVICE], bluez=self._bluez, backend=self._scanner)
        try:
            await scanner.start()
        except (self._bleak.exc.BleakError, OSError) as error:
            raise NoRadio(f"no scan: {error}. Is a Bluetooth adapter there and on (`bluetoothctl show`)?") from error
        try:
            yield
        finally:
            with contextlib.suppress(self._bleak.exc.BleakError, OSError):
                await scanner.stop()

    async def connect(self, sighting: Sighting, timeout: float) -> Link:
        link = _BleakLink(self._bleak.exc.BleakError)
        client = self._bleak.BleakClient(
            sighting.handle, link.gone, timeout=timeout, bluez=self._bluez, backend=self._client
        )
        try:
            async with self._connecting:
                await client.connect()
            await link.open(client)
        except link.broken as error:
            await link.close()
            raise LinkLost(f"no connection: {type(error).__name__}: {error}") from error
        except asyncio.CancelledError:
            link.client = client
            await link.close()
            raise
        return link


class _BleakLink:
    """A connection by bleak."""

    def __init__(self, bleak_error: type[Exception]) -> None:
        self.broken = (bleak_error, OSError, TimeoutError, EOFError, AttributeError)
        self.client: BleakClient | None = None
        self._come: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._is_gone = False

    async def open(self, client: "BleakClient") -> None:
        self.client = client
        await client.start_notify(TX, lambda _, data: self._notified(bytes(data)))

    def gone(self, _: object) -> None:
        """bleak says that the device has disconnected."""
        self._is_gone = True
        self._come.put_nowait(None)

    def _notified(self, data: bytes) -> None:
        if self._come.qsize() < _MOST_FRAGMENTS:
            self._come.put_nowait(data)
        else:  # faster than it can be read: what is lost makes the framing wrong, and is told so
            self.gone(None)

    @property
    def mtu(self) -> int:
        found = None if self.client is None else self.client.services.get_characteristic(RX)
        return MIN_MTU if found is None else max(MIN_MTU, found.max_write_without_response_size + _ATT_HEADER)

    async def write(self, fragment: bytes) -> None:
        if self.client is None or self._is_gone:
            raise LinkLost("the link is lost")
        try:
            await self.client.write_gatt_char(RX, fragment, response=True)
        except self.broken as error:
            self.gone(None)
            raise LinkLost(f"{type(error).__name__}: {error}") from error

    async def read(self) -> bytes:
        if self._is_gone and self._come.empty():
            raise LinkLost("the link is lost")
        data = await self._come.get()
        if data is None:
            raise LinkLost("the link is lost")
        return data

    async def pair(self) -> None:
        if self.client is None or self._is_gone:
            raise LinkLost("the link is lost")
        try:
            await self._pair(self.client)
        except self.broken as error:
            if self._is_gone:
                raise LinkLost("gone while pairing") from error
            raise NotPaired(f"{type(error).__name__}: {error}") from error

    @staticmethod
    async def _pair(client: "BleakClient") -> None:
        """Where an app can't begin it, the system pairs by itself for an attribute that asks for encryption."""
        try:
            await client.pair()
        except NotImplementedError:
            await client.read_gatt_char(PAIR)

    async def close(self) -> None:
        self.gone(None)
        if self.client is not None:
            with contextlib.suppress(*self.broken):
                async with asyncio.timeout(_CLOSE_SEC):
                    await self.client.disconnect()
