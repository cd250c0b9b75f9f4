"""`rolltape recorder` calls this: a recorder in the foreground, ended by SIGTERM or SIGINT.

SIGUSR1 and SIGUSR2 are the device's start and stop buttons, for those who have no other.
"""

import asyncio
import logging
import signal
import sys
from functools import partial

from rolltape.clock import SystemClock
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.control import Word
from rolltape.recorder.log import log
from rolltape.recorder.recorder import Recorder
from rolltape.running import FolderBusy


def run_recorder(settings: RecorderSettings) -> int:
    """Run until SIGTERM or SIGINT, or until a factory reset is through. Blocking. Answers the exit code.

    0: ended as it should. 1: it could not start; standard error says why and what to do.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    for chatty in ("httpx2", "httpcore2", "httpx", "httpcore", "libav"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        recorder = Recorder(settings, SystemClock())
        asyncio.run(_run(recorder))
    except (FolderBusy, ValueError, OSError) as error:
        log(f"the recorder can't start: {error}")
        return 1
    return 0


async def _run(recorder: Recorder) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    presses: set[asyncio.Task[None]] = set()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, partial(_press, recorder, "start", presses))
    loop.add_signal_handler(signal.SIGUSR2, partial(_press, recorder, "stop", presses))
    await recorder.run(stop, started=lambda: log("the recorder is up"))


def _press(recorder: Recorder, word: Word, presses: set[asyncio.Task[None]]) -> None:
    async def press() -> None:
        if recorder.buttons is not None:
            answer = await recorder.buttons.press(word)
            log(f"{word} by hand: {answer.get('recording_id') or answer.get('message')}")

    task = asyncio.get_running_loop().create_task(press())
    presses.add(task)
    task.add_done_callback(presses.discard)
