"""`rolltape relay` calls this: a gateway in the foreground, ended by SIGTERM or SIGINT."""

import asyncio
import logging
import signal
import sys

from rolltape.clock import SystemClock
from rolltape.relay.config import RelaySettings
from rolltape.relay.gateway import Gateway
from rolltape.relay.log import log
from rolltape.relay.radio import BleakRadio, NoRadio
from rolltape.relay.token import TokenEnded
from rolltape.running import FolderBusy


def run_relay(settings: RelaySettings) -> int:
    """Run until SIGTERM or SIGINT. Blocking. Answers the exit code.

    0: ended as it should. 1: it could not start, or its token ended and none other can come; standard error says why
    and what to do.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    for chatty in ("httpx2", "httpcore2", "httpx", "httpcore", "bleak"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        gateway = Gateway(settings, SystemClock(), BleakRadio(settings.adapter))
        asyncio.run(_run(gateway))
    except (FolderBusy, NoRadio, TokenEnded, ValueError, OSError) as error:
        log(f"the gateway ends: {error}")
        return 1
    return 0


async def _run(gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await gateway.run(stop, started=lambda: log("the gateway is up"))
