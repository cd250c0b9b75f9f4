"""bleak over bumble: the backends by which a real bleak client and scanner use a virtual radio (virtual.py).

bleak takes classes, so an Adapter makes its own: `BleakClient(device, backend=adapter.client)`,
`BleakScanner(backend=adapter.scanner)`.
"""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bleak.uuids import normalize_uuid_str
from bumble import hci
from bumble.att import ATT_Error
from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Advertisement, Connection, Device, DeviceConfiguration, Peer
from bumble.gatt import Characteristic
from bumble.gatt_client import CharacteristicProxy
from bumble.keys import KeyStore
from bumble.pairing import PairingConfig

T = TypeVar("T")
_MIN_MTU = 23
_NAMES = {
    Characteristic.Properties.READ: "read",
    Characteristic.Properties.WRITE_WITHOUT_RESPONSE: "write-without-response",
    Characteristic.Properties.WRITE: "write",
    Characteristic.Properties.NOTIFY: "notify",
    Characteristic.Properties.INDICATE: "indicate",
}


class Adapter:
    """One machine's Bluetooth, as a central. `async with` it."""

    def __init__(self, hci_pipe: tuple[Any, Any], mtu: int) -> None:
        self.mtu = mtu
        self.device = Device.from_config_with_hci(
            DeviceConfiguration(name="central", address=hci.Address.generate_static_address()), *hci_pipe
        )
        self.device.keystore = KeyStore()
        self.device.pairing_config_factory = lambda _connection: PairingConfig(sc=True, mitm=False, bonding=False)
        self.connecting = asyncio.Lock()
        self.scanners = 0
        self.client: type[BaseBleakClient] = type("VirtualClient", (_Client,), {"adapter": self})
        self.scanner: type[BaseBleakScanner] = type("VirtualScanner", (_Scanner,), {"adapter": self})

    async def __aenter__(self) -> "Adapter":
        await self.device.power_on()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in list(self.device.connections.values()):
            await connection.disconnect()
        await self.device.power_off()


class _Client(BaseBleakClient):
    adapter: Adapter

    def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
        super().__init__(
            address_or_ble_device,
            disconnected_callback=kwargs["disconnected_callback"],
            timeout=kwargs["timeout"],
        )
        self._connection: Connection | None = None
        self._gone = asyncio.Event()

    @property
    def name(self) -> str:
        return self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        return int(self._link.att_mtu)

    @property
    def is_connected(self) -> bool:
        return self._connection is not None and not self._gone.is_set()

    @property
    def _link(self) -> Connection:
        if self._connection is None or self._gone.is_set():
            raise BleakError("Not connected")
        return self._connection

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        device = self.adapter.device
        async with self.adapter.connecting:
            try:
                self._connection = await device.connect(hci.Address(self.address), timeout=self._timeout)
            except (BaseBumbleError, TimeoutError) as error:
                raise BleakDeviceNotFoundError(self.address, f"{self.address} was not found: {error}") from None
        self._gone = asyncio.Event()
        self._connection.on(self._connection.EVENT_DISCONNECTION, self._disconnected)
        try:
            await self._until_gone(self._discover())
            if pair:
                await self.pair()
        except BaseException:
            await self.disconnect()
            raise

    async def _discover(self) -> None:
        peer = Peer(self._link)
        if self.adapter.mtu > _MIN_MTU:
            await peer.request_mtu(self.adapter.mtu)
        await peer.discover_services()
        services = BleakGATTServiceCollection()
        for service in peer.services:
            services.add_service(BleakGATTService(service, service.handle, _text(service.uuid)))
            for characteristic in await peer.discover_characteristics(service=service):
                await self._add(services, services.services[service.handle], characteristic)
        self.services = services

    async def _add(
        self,
        services: BleakGATTServiceCollection,
        service: BleakGATTService,
        found: CharacteristicProxy[bytes],
    ) -> None:
        names: list[Any] = [name for flag, name in _NAMES.items() if found.properties & flag]
        added = BleakGATTCharacteristic(
            found, found.handle, _text(found.uuid), names, lambda: self.mtu_size - 3, service
        )
        services.add_characteristic(added)
        for descriptor in await found.discover_descriptors():
            services.add_descriptor(BleakGATTDescriptor(descriptor, descriptor.handle, _text(descriptor.type), added))

    def _disconnected(self, _reason: int) -> None:
        self._gone.set()
        self.services = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        if self.is_connected:
            await self._link.disconnect()

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        await self._until_gone(self._link.pair())

    async def unpair(self) -> None:
        await self.disconnect()

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        return bytearray(await self._until_gone(characteristic.obj.read_value()))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        return bytearray(await self._until_gone(descriptor.obj.read_value()))

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool) -> None:
        await self._until_gone(characteristic.obj.write_value(bytes(data), with_response=response))
        if not response:
            await self._until_gone(self._room())

    async def _room(self) -> None:
        """As an operating system does: a write without response is back when there is room for the next one."""
        queue = self._link.data_packet_queue
        if queue is not None and queue.pending >= queue.max_in_flight:
            await self._link.drain()

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        await self._until_gone(descriptor.obj.write_value(bytes(data), with_response=True))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        def heard(value: bytes) -> None:
            callback(bytearray(value))

        await self._until_gone(characteristic.obj.subscribe(heard))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        await self._until_gone(characteristic.obj.unsubscribe(force=True))

    async def _until_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result; BleakError when it fails, or when the link goes first."""
        doing, going = asyncio.ensure_future(work), asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({doing, going}, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done() or doing.cancelled():
                raise BleakError("disconnected")
            return doing.result()
        except ATT_Error as error:
            raise BleakGATTProtocolError(error.error_code) from None
        except BaseBumbleError as error:
            raise BleakError(f"{type(error).__name__}: {error}") from None
        finally:
            doing.cancel()
            going.cancel()


class _Scanner(BaseBleakScanner):
    adapter: Adapter

    def __init__(self, detection_callback: Any, service_uuids: list[str] | None, mode: str, **kwargs: Any) -> None:
        super().__init__(detection_callback, service_uuids)
        self._is_active = mode == "active"

    async def start(self) -> None:
        self.seen_devices = {}
        self.adapter.device.on(Device.EVENT_ADVERTISEMENT, self._heard)
        self.adapter.scanners += 1
        if self.adapter.scanners == 1:
            await self.adapter.device.start_scanning(active=self._is_active, filter_duplicates=False)

    async def stop(self) -> None:
        self.adapter.device.remove_listener(Device.EVENT_ADVERTISEMENT, self._heard)
        self.adapter.scanners -= 1
        if self.adapter.scanners == 0:
            await self.adapter.device.stop_scanning()

    def _heard(self, found: Advertisement) -> None:
        data = _advertisement_data(found)
        if self.is_allowed_uuid(data.service_uuids):
            address = str(found.address)
            self.call_detection_callbacks(self.create_or_update_device(address, address, None, None, data), data)


def _advertisement_data(found: Advertisement) -> AdvertisementData:
    fields = found.data.ad_structures
    uuids = [
        _text(UUID.from_bytes(data[at : at + 16]))
        for kind, data in fields
        if kind == AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS
        for at in range(0, len(data), 16)
    ]
    told = {
        _text(UUID.from_bytes(data[:16])): data[16:]
        for kind, data in fields
        if kind == AdvertisingData.SERVICE_DATA_128_BIT_UUID
    }
    return AdvertisementData(None, {}, told, uuids, None, found.rssi, (found,))


def _text(uuid: UUID) -> str:
    """As bleak writes a UUID."""
    return normalize_uuid_str(uuid.to_hex_str("-"))
