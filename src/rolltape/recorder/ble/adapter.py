"""Opens a radio for the recorder. bumble is loaded here and not before: a recorder without BLE needs none."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rolltape.clock import Clock
from rolltape.recorder.ble.link import AirSession

if TYPE_CHECKING:
    from rolltape.recorder.ble.peripheral import Peripheral

INSTALL = "BLE needs the package bumble: pip install 'rolltape[ble]'"


class RadioMissing(Exception):
    """There is no radio to be had. The message says why, and what to do."""


@asynccontextmanager
async def on_adapter(adapter: str, session: AirSession, clock: Clock) -> "AsyncIterator[Peripheral]":
    """A peripheral on one of bumble's transports; `run` it. Raises RadioMissing.

    adapter: `hci-socket:0` (Linux; the adapter must be down, and the process needs CAP_NET_ADMIN), `usb:0`,
    `serial:/dev/ttyACM0,1000000`, `tcp-client:host:port`, …
    """
    try:
        from bumble.transport import open_transport

        from rolltape.recorder.ble.peripheral import Peripheral
    except ImportError as error:
        raise RadioMissing(f"{INSTALL} ({error})") from None
    logging.getLogger("bumble").setLevel(logging.CRITICAL)  # what a stranger sends is no fault of ours
    try:
        transport = await open_transport(adapter)
    except Exception as error:  # each transport has its own, down to a bare Exception
        raise RadioMissing(
            f"the Bluetooth adapter {adapter!r} can't be opened: {str(error) or type(error).__name__}"
        ) from None
    async with transport:
        yield Peripheral((transport.source, transport.sink), session, clock)
