"""Callers of a queue, in one asyncio process (`python -m bench.queues.load`, see `bench.load.resident`).

Each caller awaits its call and makes the next. What the client library costs is in the figures, as it is for its user.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from bench.load.closed import counted, told
from bench.load.resident import serve
from bench.queues.base import Put, Queue
from bench.queues.brokers import JETSTREAM, MOSQUITTO
from bench.queues.postgres_queues import PGQUEUER, PROCRASTINATE

QUEUES: dict[str, Queue] = {queue.name: queue for queue in (PROCRASTINATE, PGQUEUER, JETSTREAM, MOSQUITTO)}


@dataclass(frozen=True, slots=True)
class Plan:
    """Which queue, where, and for how long."""

    queue: str
    url: str
    pool: int
    callers: int
    warmup: float
    seconds: float


async def run_plan(plan: Plan) -> dict[str, Any]:
    """The figures of one run."""
    finished: list[tuple[float, float]] = []
    async with QUEUES[plan.queue].connect(plan.url, plan.pool) as put:
        spent = time.process_time()
        begin = time.perf_counter() + plan.warmup
        end = begin + plan.seconds
        async with asyncio.TaskGroup() as callers:
            for _ in range(plan.callers):
                callers.create_task(_call(put, finished, end))
        return told(*counted(finished, begin, plan.seconds), len(finished), spent) | {"errors": [], "next": 0}


async def _call(put: Put, finished: list[tuple[float, float]], end: float) -> None:
    at = time.perf_counter()
    while at < end:
        await put()
        now = time.perf_counter()
        finished.append((now, now - at))
        at = now


async def run_any(told: dict[str, Any]) -> dict[str, Any]:
    """A call that raises ends the process: the run is worth nothing then."""
    return await run_plan(Plan(**told))


if __name__ == "__main__":
    serve(run_any)
