"""A radio without hardware: real hosts on virtual controllers, and a real bleak client on top.

    radio = VirtualRadio()
    peripheral = Peripheral(radio.hci(), session, clock)
    async with radio.adapter(mtu=185) as adapter:
        async with BleakClient(device, backend=adapter.client) as client: ...

What a controller does on the air, it does here: advertising, scan requests, connections, encryption, flow control. The
air is perfect but for what a test asks of it: `cut_after` takes a link away at any packet.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Literal

from bumble import hci, ll
from bumble.att import ATT_CID
from bumble.controller import Connection, Controller, LegacyAdvertiser
from bumble.core import PhysicalTransport
from bumble.link import LocalLink

from rolltape.radio.bleak_backend import Adapter

Direction = Literal["both", "to_device", "to_relay"]
_ACL_BYTES = 251
_ACL_PACKETS = 8


class Cut:
    """A link that will be taken away, once. `passed`: the ATT packets counted so far; `done`: it has happened."""

    def __init__(self, after: int | None, of: Direction) -> None:
        self.passed = 0
        self.done = asyncio.Event()
        self._after = after
        self._of = of

    def takes(self, direction: Direction) -> bool:
        """Whether this packet is lost, and its link with it."""
        if self.done.is_set() or self._of not in ("both", direction):
            return False
        if self.passed == self._after:
            self.done.set()
            return True
        self.passed += 1
        return False


class VirtualRadio:
    """The air of one event loop."""

    def __init__(self) -> None:
        self.link: Final = _Air()
        self._loop = asyncio.get_running_loop()

    def hci(self) -> tuple[Any, Any]:
        """A new controller, as source and sink of an HCI transport. Its host may run in another thread's loop."""
        controller = _Controller(self.link)
        pipe = _Pipe(controller, self._loop, asyncio.get_running_loop())
        self._loop.call_soon_threadsafe(self.link.add_controller, controller)
        return pipe, pipe

    def adapter(self, *, mtu: int = 517) -> Adapter:
        """A machine with Bluetooth, whose stack asks for this ATT MTU: `client` and `scanner` are bleak backends."""
        return Adapter(self.hci(), mtu)

    def cut_after(self, packets: int | None, of: Direction = "both") -> Cut:
        """Let so many ATT packets pass, then lose the next one and its link. None: only count them."""
        self.link.cut = Cut(packets, of)
        return self.link.cut


class _Air(LocalLink):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cut = Cut(None, "both")

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        connection = sender_controller.le_connections.get(destination_address)
        is_att = int.from_bytes(data[2:4], "little") == ATT_CID
        if connection is not None and is_att:
            from_central = connection.role == hci.Role.CENTRAL
            if self.cut.takes("to_device" if from_central else "to_relay"):
                asyncio.get_running_loop().call_soon(self.sever, connection)
                return
        super().send_acl_data(sender_controller, destination_address, transport, data)

    def sever(self, connection: Connection) -> None:
        """The two hear each other no more."""
        other = self.find_le_controller(connection.peer_address)
        mine = connection.controller.le_connections.get(connection.peer_address)
        theirs = None if other is None else other.le_connections.get(connection.self_address)
        for end in (mine, theirs):
            if end is not None:
                end.controller.on_le_disconnected(end, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    def send_advertising_pdu(self, sender_controller: Controller, packet: ll.AdvertisingPdu) -> None:
        if isinstance(packet, ll.ConnectInd) and self._advertiser(packet.advertiser_address) is None:
            asyncio.get_running_loop().call_soon(self._fail, sender_controller, packet.advertiser_address)
            return
        loop = asyncio.get_running_loop()
        for controller in self.controllers:
            if controller is not sender_controller and _hears(controller, packet):
                loop.call_soon(controller.on_ll_advertising_pdu, packet)

    def _fail(self, central: Controller, address: hci.Address) -> None:
        """Who was called had stopped to advertise, so the connection never comes about."""
        if (connection := central.le_connections.get(address)) is not None:
            central.on_le_disconnected(connection, hci.HCI_ErrorCode.CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR)

    def scan_response(self, address: hci.Address) -> bytes:
        """What the advertiser there answers to a scan request."""
        advertiser = self._advertiser(address)
        return b"" if advertiser is None else bytes(advertiser.scan_response_data)

    def _advertiser(self, address: hci.Address) -> LegacyAdvertiser | None:
        advertisers = (controller.le_legacy_advertiser for controller in self.controllers)
        return next((each for each in advertisers if each.enabled and each.address == address), None)


class _Controller(Controller):
    """bumble's controller, with what it leaves out: the scan response of whoever is scanned, and calls taken back."""

    le_features = Controller.le_features & ~hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
    le_acl_data_packet_length = _ACL_BYTES
    total_num_le_acl_data_packets = _ACL_PACKETS

    def __init__(self, air: _Air) -> None:
        super().__init__("virtual")
        self.link = air
        self._air = air

    def on_advertising_pdu(self, pdu: ll.AdvInd | ll.AdvExtInd) -> None:
        types = hci.HCI_LE_Advertising_Report_Event.EventType
        address = pdu.advertiser_address
        if self.le_scan_enable:
            self._report(types.ADV_IND, address, pdu.data)
            if self.le_scan_type == hci.HCI_LE_Set_Scan_Parameters_Command.ACTIVE_SCANNING:
                self._report(types.SCAN_RSP, address, self._air.scan_response(address))
        pending = self.pending_le_connection
        if pending is not None and pending.peer_address == address:
            self.create_le_connection(address)

    def on_hci_le_create_connection_cancel_command(
        self, _command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=hci.Role.CENTRAL,
                peer_address_type=pending.peer_address.address_type,
                peer_address=pending.peer_address,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def _report(self, kind: int, address: hci.Address, data: bytes) -> None:
        report = hci.HCI_LE_Advertising_Report_Event.Report(
            event_type=kind, address_type=address.address_type, address=address, data=data, rssi=-50
        )
        self.send_hci_packet(hci.HCI_LE_Advertising_Report_Event([report]))


class _Pipe:
    """Source and sink of an HCI transport between a host's loop and the radio's, in order both ways."""

    def __init__(
        self, controller: Controller, radio: asyncio.AbstractEventLoop, host: asyncio.AbstractEventLoop
    ) -> None:
        self._controller = controller
        self._radio = radio
        self._host = host
        controller.set_packet_sink(_Way(self._deliver))

    def set_packet_sink(self, sink: Any) -> None:
        """The host that hears the controller."""
        self._sink = sink

    def on_packet(self, packet: bytes) -> None:
        """The host says something to the controller."""
        _later(self._radio, self._controller.on_packet, packet)

    def _deliver(self, packet: bytes) -> None:
        _later(self._host, self._sink.on_packet, packet)


class _Way:
    def __init__(self, deliver: Callable[[bytes], None]) -> None:
        self.on_packet = deliver


def _later(loop: asyncio.AbstractEventLoop, call: Callable[[bytes], None], packet: bytes) -> None:
    if loop is asyncio.get_running_loop():
        loop.call_soon(call, packet)
    elif not loop.is_closed():
        loop.call_soon_threadsafe(call, packet)


def _hears(controller: Controller, packet: ll.AdvertisingPdu) -> bool:
    """Whether the packet means anything to the controller; a hundred advertisers need not wake each other."""
    if isinstance(packet, ll.ConnectInd):
        return bool(controller.le_legacy_advertiser.enabled)
    return bool(controller.le_scan_enable or controller.pending_le_connection is not None)
