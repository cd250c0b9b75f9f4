"""The recorder as a GATT peripheral: it advertises, takes one relay at a time, and lets the session talk to it.

An advertisement tells nobody who this is but those who know the device's id (rolltape.wire.ble.service); the address
is a private one, resolvable by nobody, and changes with the tag. There are no bonds: a relay that wants an encrypted
link pairs, each time, and nothing of it is kept.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from typing import Any, Final

from bumble import hci
from bumble.att import ATT_Error, Attribute
from bumble.core import BaseBumbleError
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.keys import KeyStore
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport.common import TransportSink, TransportSource

from rolltape.clock import Clock
from rolltape.recorder.ble.link import AirSession
from rolltape.recorder.ble.visit import Visit, watch
from rolltape.wire.ble import service
from rolltape.wire.ble.service import TAG_SECONDS, Info, new_tag

Hci = tuple[TransportSource, TransportSink]
NAME: Final = "Rolltape"
"""The name of every recorder in the GAP service: it tells one from another no more than the rest does."""
ADVERTISE_MS: Final = 250.0
_NOT_LISTENING = 0xFD  # Client Characteristic Configuration Descriptor Improperly Configured (CSS, Part B, 1.2)
_READ_NOT_PERMITTED, _WRITE_NOT_PERMITTED = 0x02, 0x03
_MAX_MTU = 517
_DOWN_SECONDS = 2.0


class RadioLost(Exception):
    """The adapter is gone, or answers no more."""


class Peripheral:
    """One recorder on one radio. `hci`: source and sink of an HCI transport."""

    def __init__(self, hci: Hci, session: AirSession, clock: Clock, *, advertise_ms: float = ADVERTISE_MS) -> None:
        source, sink = hci
        self._session = session
        self._clock = clock
        self._advertise_ms = advertise_ms
        self._device = Device.from_config_with_hci(_config(), source, sink)
        self._tag = b""
        self._visit: Visit | None = None
        self._visitor: Connection | None = None
        self._news = asyncio.Event()
        self._is_lost = False
        self._chores: set[asyncio.Task[Any]] = set()
        self._build()
        if (terminated := getattr(source, "terminated", None)) is not None:
            terminated.add_done_callback(self._lost)

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """For ever. `started` is called when it advertises for the first time. Raises RadioLost."""
        try:
            await _whole(self._device.power_on())
            await _whole(self._advertise())
            started()
            while not _is_cancelled():
                await self._one()
            raise asyncio.CancelledError
        except (BaseBumbleError, hci.HCI_Error, OSError, TimeoutError) as error:
            raise RadioLost(f"the Bluetooth adapter failed: {str(error) or type(error).__name__}") from error
        finally:
            await self._down()

    def _build(self) -> None:
        device = self._device
        device.keystore = KeyStore()  # the base class keeps nothing
        device.gatt_server.max_mtu = _MAX_MTU
        device.pairing_config_factory = lambda _connection: PairingConfig(
            sc=True,
            mitm=False,
            bonding=False,
            delegate=PairingDelegate(
                local_initiator_key_distribution=PairingDelegate.KeyDistribution(0),
                local_responder_key_distribution=PairingDelegate.KeyDistribution(0),
            ),
        )
        self._tx: Characteristic[bytes] = Characteristic(
            service.TX,
            Characteristic.Properties.NOTIFY,
            Attribute.Permissions(0),
            CharacteristicValue(read=_unreadable, write=_unwritable),
        )
        self._tx.on(self._tx.EVENT_SUBSCRIPTION, self._subscribed)
        rx: Characteristic[bytes] = Characteristic(
            service.RX,
            Characteristic.Properties.WRITE | Characteristic.Properties.WRITE_WITHOUT_RESPONSE,
            Attribute.Permissions.WRITEABLE,
            CharacteristicValue(read=_unreadable, write=self._wrote),
        )
        info: Characteristic[bytes] = Characteristic(
            service.INFO,
            Characteristic.Properties.READ,
            Attribute.Permissions.READABLE,
            CharacteristicValue(read=self._info, write=_unwritable),
        )
        pair: Characteristic[bytes] = Characteristic(
            service.PAIR,
            Characteristic.Properties.READ,
            Attribute.Permissions.READABLE | Attribute.Permissions.READ_REQUIRES_ENCRYPTION,
            CharacteristicValue(read=_version, write=_unwritable),
        )
        device.add_service(Service(service.SERVICE, [rx, self._tx, info, pair]))
        device.on(device.EVENT_CONNECTION, self._connected)

    def _info(self, _connection: Connection) -> bytes:
        return Info(service.VERSION, self._session.holds, self._tag).encode()

    def _wrote(self, connection: Connection, value: bytes) -> None:
        if self._visit is None or connection is not self._visitor:
            raise ATT_Error(_WRITE_NOT_PERMITTED)
        if not self._visit.is_listening:
            raise ATT_Error(_NOT_LISTENING)
        self._visit.wrote(value)

    def _subscribed(self, connection: Connection, notify: bool, _indicate: bool) -> None:
        if self._visit is None or connection is not self._visitor:
            return
        if notify:
            self._visit.listens()
        elif self._visit.is_listening:
            self._chore(self._visit.close())

    def _connected(self, connection: Connection) -> None:
        if self._visit is not None:
            self._chore(connection.disconnect(hci.HCI_ErrorCode.CONNECTION_REJECTED_DUE_TO_LIMITED_RESOURCES_ERROR))
            return
        # before anything that the relay sends is looked at
        self._visitor, self._visit = connection, Visit(connection, self._tx, self._session, self._clock)
        watch(connection, self._visit.gone)
        self._news.set()

    async def _one(self) -> None:
        """One visit, or one change of tag and address."""
        await self._clock.wait(self._news.wait(), TAG_SECONDS)
        self._news.clear()
        if self._visit is not None:
            if self._device.is_advertising:
                await _whole(self._device.stop_advertising())
            await self._visit.run()
            self._visit = self._visitor = None
        if self._is_lost:
            raise RadioLost("the Bluetooth adapter is gone")
        await _whole(self._advertise())

    def _lost(self, _terminated: object = None) -> None:
        self._is_lost = True
        self._news.set()
        if self._visit is not None:
            self._visit.gone()

    async def _advertise(self) -> None:
        """Advertise under a new address and a new tag."""
        device = self._device
        await device.stop_advertising()
        if self._visit is not None:
            return  # a relay came in at the last moment: the address stays what it was called by
        self._tag = new_tag(self._session.device_id)
        device.random_address = hci.Address.generate_private_address(os.urandom(16))  # nobody has the key: not even we
        await device.send_sync_command(hci.HCI_LE_Set_Random_Address_Command(random_address=device.random_address))
        await device.start_advertising(
            own_address_type=hci.OwnAddressType.RANDOM,
            advertising_data=service.advertisement(),
            scan_response_data=service.scan_response(self._tag),
            advertising_interval_min=self._advertise_ms,
            advertising_interval_max=self._advertise_ms,
        )

    def _chore(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _down(self) -> None:
        for task in self._chores:
            task.cancel()
        with contextlib.suppress(BaseBumbleError, hci.HCI_Error, OSError, TimeoutError, asyncio.InvalidStateError):
            async with asyncio.timeout(_DOWN_SECONDS):  # a command that was cut off may leave bumble waiting for ever
                await self._device.stop_advertising()
                if self._visit is not None:
                    await self._visit.close()
                await self._device.power_off()


def _is_cancelled() -> bool:
    """Whether a cancellation was lost on the way: bumble waits with asyncio.wait_for, which can (Python 3.11)."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _whole(commands: Coroutine[Any, Any, None]) -> None:
    """Let commands to the adapter come to their end, whoever cancels: bumble loses count of one that is cut off."""
    running = asyncio.ensure_future(commands)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise


def _version(_connection: Connection) -> bytes:
    return bytes([service.VERSION])


def _unreadable(_connection: Connection) -> bytes:
    raise ATT_Error(_READ_NOT_PERMITTED)  # bumble itself never looks at the permissions


def _unwritable(_connection: Connection, _value: bytes) -> None:
    raise ATT_Error(_WRITE_NOT_PERMITTED)


def _config() -> DeviceConfiguration:
    return DeviceConfiguration(
        name=NAME, address=hci.Address.generate_static_address(), irk=os.urandom(16), classic_enabled=False
    )
