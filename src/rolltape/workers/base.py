"""What a worker is: one duty, done once by `run_once`, again and again by `run_for_ever`."""

import logging
from typing import Protocol

from rolltape.codes import Problem
from rolltape.service.context import Services

log = logging.getLogger("rolltape.workers")


class Worker(Protocol):
    """One duty."""

    name: str
    every_seconds: float

    async def run_once(self, app: Services, now: int) -> int:
        """Does what there is to do at `now` (ms); how much it was."""
        ...


async def run_for_ever(worker: Worker, app: Services) -> None:
    """Runs the duty every `every_seconds`. A failure is logged, and the duty goes on."""
    while True:
        try:
            await worker.run_once(app, app.clock.now_ms())
        except Problem as problem:
            log.warning("worker %s could not finish: %s", worker.name, problem.message)
        except Exception:
            log.exception("worker %s failed", worker.name)
        await app.clock.sleep(worker.every_seconds)
