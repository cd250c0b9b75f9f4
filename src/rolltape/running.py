"""How a program of loops lives: alone on its folder, each loop kept up, and all of them ended at the end."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rolltape.clock import Clock

_RESTART_SEC = 5.0


class FolderBusy(Exception):
    """Another process of the same kind runs on this folder; the message says what to do."""


@contextlib.contextmanager
def only_one(folder: Path, busy: str) -> Iterator[None]:
    """Holds `folder` for one process; a killed one lets go too. Raises FolderBusy, which says `busy`."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FolderBusy(busy) from None
        yield
    finally:
        os.close(fd)


async def keep_up(name: str, run: Callable[[], Awaitable[None]], clock: Clock, log: Callable[[str], None]) -> None:
    """Runs a loop to its end. One that falls over is a fault: it is told, and the loop begins again after a while."""
    while True:
        try:
            return await run()
        except Exception as error:
            log(f"fault in {name}: {type(error).__name__}: {error}")
            await clock.sleep(_RESTART_SEC)


async def end_all(tasks: Iterable["asyncio.Future[Any]"]) -> None:
    """Cancels until all have ended: a library may swallow one cancellation. What they failed with is passed over."""
    every = list(tasks)
    waiting = {task for task in every if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=0.5)
    for task in every:
        if not task.cancelled():
            task.exception()  # looked at, so that nobody is told that it wasn't
