"""The recorder's radio over a real HCI transport: a controller behind a TCP socket, as bumble and others serve them."""

import asyncio
import socket
import sys

import pytest
from bumble.transport.common import Transport
from bumble.transport.tcp_server import open_tcp_server_transport_with_socket

from rolltape.clock import SystemClock
from rolltape.recorder.ble.adapter import RadioMissing, on_adapter
from rolltape.recorder.ble.peripheral import RadioLost
from rolltape.testing.radio import VirtualRadio
from rolltape.wire.ble import to_device, to_relay
from tests.ble.air import VirtualAir, call, find, told
from tests.ble.sessions import DEVICE, Echo


async def opened(adapter: str) -> None:
    async with on_adapter(adapter, Echo(), SystemClock()):
        pass


def test_a_recorder_on_an_hci_transport_is_found_and_talks_and_notices_when_the_adapter_goes() -> None:
    async def story() -> None:
        server = socket.create_server(("127.0.0.1", 0))
        async with VirtualAir(185).open() as place, await open_tcp_server_transport_with_socket(server) as adapter:
            assert place.radio is not None
            bridge(place.radio, adapter)
            port = server.getsockname()[1]
            async with on_adapter(f"tcp-client:127.0.0.1:{port}", Echo(), SystemClock()) as peripheral:
                running = asyncio.create_task(peripheral.run())
                async with call(place, (await find(place, DEVICE))[0]) as caller:
                    await caller.send(to_device.Next())
                    assert await caller.hear_message() == to_relay.Result(about=0x07, code=0)
                    adapter.sink.transport.close()
                    with pytest.raises(RadioLost, match="gone"):
                        await running
            adapter.server.close()

    told(story())


def bridge(radio: VirtualRadio, transport: Transport) -> None:
    """Put a controller of the radio behind a transport."""
    controller, _ = radio.hci()
    controller.set_packet_sink(transport.sink)
    transport.source.set_packet_sink(controller)


@pytest.mark.parametrize("adapter", ["nonsense", "nonsense:0", "usb:99", "hci-socket:x", "tcp-client:127.0.0.1:1"])
def test_an_adapter_that_cannot_be_opened_is_named_in_the_error(adapter: str) -> None:
    with pytest.raises(RadioMissing, match=f"the Bluetooth adapter '{adapter}' can't be opened: "):
        told(opened(adapter))


def test_without_bumble_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bumble.transport", None)
    with pytest.raises(RadioMissing, match=r"pip install 'rolltape\[ble\]'"):
        told(opened("usb:0"))
