"""A queue as a lane."""

from bench.effort import Effort
from bench.load.resident import run_load
from bench.load.run import Figures, figures_of
from bench.queues.base import Queue
from bench.queues.load import Plan


class QueueLane:
    """One queue, on a server that runs."""

    def __init__(self, queue: Queue, url: str, pool: int | None = None) -> None:
        self.name = queue.name
        self.note = queue.note
        self._url = url
        self._pool = pool or queue.pool

    def run(self, callers: int, effort: Effort) -> Figures:
        """One round; the process connects anew each time, before its warm-up."""
        plan = Plan(self.name, self._url, self._pool, callers, effort.warmup, effort.seconds)
        return figures_of(run_load("bench.queues.load", plan), self.name)
