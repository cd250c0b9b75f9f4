"""The demo's air: a recorder with no network and a gateway, which share nothing but a virtual radio.

`python -m rolltape.cli.demo_air`, with the relay token in ROLLTAPE_RELAY_TOKEN. It says `up` on standard output, then a
line `recording held size` for each piece that came over the air. Once, in the middle of a recording, it takes the link
away, so that one sees it go on where it was. SIGTERM ends it with 0.
"""

import asyncio
import logging
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from rolltape.clock import SystemClock
from rolltape.radio.virtual import VirtualRadio
from rolltape.recorder.binding import read_binding
from rolltape.recorder.ble.peripheral import Peripheral
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.recorder import Recorder
from rolltape.relay.config import RelaySettings
from rolltape.relay.gateway import Gateway
from rolltape.relay.radio import BleakRadio
from rolltape.relay.shelf import Progress

MTU = 185
"""What a phone usually gets."""
_ADVERTISE_MS = 100.0
_CUT_PACKETS = 5


def main() -> None:
    """Run until SIGTERM."""
    parser = ArgumentParser()
    for name in ("server", "binding", "work", "source"):
        parser.add_argument(f"--{name}", required=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    for chatty in ("httpx2", "httpcore2", "bleak", "bumble", "libav"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    asyncio.run(_run(parser.parse_args()))


async def _run(given: Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    air = VirtualRadio()
    recorder = asyncio.create_task(_recorder(given, air, stop))
    gateway = asyncio.create_task(_gateway(given, air, stop))
    try:
        done, _ = await asyncio.wait({recorder, gateway}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        stop.set()
        await asyncio.wait({recorder, gateway})


async def _recorder(given: Namespace, air: VirtualRadio, stop: asyncio.Event) -> None:
    """The recorder, and its radio for as long as it runs."""
    clock = SystemClock()
    settings = RecorderSettings(
        binding=read_binding(Path(given.binding)), state_dir=Path(given.work) / "recorder", source=given.source
    )
    recorder, up = Recorder(settings, clock), asyncio.Event()
    running = asyncio.create_task(recorder.run(stop, up.set))
    await asyncio.wait({running, asyncio.ensure_future(up.wait())}, return_when=asyncio.FIRST_COMPLETED)
    if recorder.air is None:
        return await running
    peripheral = Peripheral(air.hci(), recorder.air, clock, advertise_ms=_ADVERTISE_MS)
    on_air = asyncio.create_task(peripheral.run())
    try:
        await running
    finally:
        on_air.cancel()
        await asyncio.wait({on_air}, timeout=5)


async def _gateway(given: Namespace, air: VirtualRadio, stop: asyncio.Event) -> None:
    settings = RelaySettings(
        server=given.server, token=os.environ["ROLLTAPE_RELAY_TOKEN"], spool_dir=Path(given.work) / "spool"
    )
    async with air.adapter(mtu=MTU) as adapter:
        radio = BleakRadio(scanner=adapter.scanner, client=adapter.client)
        gateway = Gateway(settings, SystemClock(), radio, progress=_Told(air))
        await gateway.run(stop, lambda: print("up", flush=True))


class _Told:
    """Says each piece, and cuts the link once."""

    def __init__(self, air: VirtualRadio) -> None:
        self._air = air
        self._has_cut = False

    def __call__(self, at: Progress) -> None:
        print(at.recording_id, at.held, at.size, flush=True)
        if not self._has_cut and at.held * 2 > at.size > at.held:
            self._has_cut = True
            self._air.cut_after(_CUT_PACKETS)
            print(at.recording_id, "cut", at.size, flush=True)


if __name__ == "__main__":
    main()
