"""An open loop: each request goes out when its time has come, however the ones before it fare.

Its time counts from the moment when it was due, so a server that falls behind can't hide it. The generator looks at the
clock once in a millisecond (to watch it all the time would take one of two cores) and so adds up to one to each time.
"""

import asyncio
import time
from collections import deque
from typing import Any

from bench.load.closed import LAST_ANSWERS_SECONDS, Caller, Run
from bench.load.plan import Plan

LOOK_SECONDS = 0.001


class Line(Caller):
    """One of the connections that requests are handed to."""

    def __init__(self, run: Run, idle: deque["Line"], due: deque[float]) -> None:
        super().__init__(run)
        self.idle = idle
        self.due = due

    def send_due(self, due: float) -> None:
        """Sends the next request, whose time began at `due`."""
        self.sent = due
        self.transport.write(self.run.requests.next())

    def answered(self, now: float) -> None:
        self.run.finished.append((self.sent, now - self.sent))
        if self.due:
            self.send_due(self.due.popleft())
        else:
            self.idle.append(self)


async def run_open(plan: Plan) -> dict[str, Any]:
    """The figures of one run; besides those of a closed loop `late_ms`, the generator's own worst lateness."""
    run = Run(plan)
    idle: deque[Line] = deque()
    waiting: deque[float] = deque()
    loop = asyncio.get_running_loop()
    lines = []
    for _ in range(plan.callers):
        _, line = await loop.create_connection(lambda: Line(run, idle, waiting), plan.host, plan.port)
        lines.append(line)
    idle.extend(lines)
    total = int(plan.per_s * (plan.warmup + plan.seconds))
    first = time.perf_counter() + 0.05
    late = await _send_all(run, idle, waiting, first, total)
    give_up = time.perf_counter() + LAST_ANSWERS_SECONDS
    while len(run.finished) < total and not run.errors and time.perf_counter() < give_up:
        await asyncio.sleep(0.005)
    if len(run.finished) < total and not run.errors:
        run.errors.append("some answers never came")
    for line in lines:
        line.finish()
    times = [took for due, took in run.finished if due >= first + plan.warmup]
    return run.told(times, plan.seconds) | {"late_ms": round(late * 1000, 3)}


async def _send_all(run: Run, idle: deque[Line], waiting: deque[float], first: float, total: int) -> float:
    number, late = 0, 0.0
    while number < total and not run.errors:
        now = time.perf_counter()
        while number < total and (due := first + number / run.plan.per_s) <= now:
            late = max(late, now - due)
            if idle:
                idle.popleft().send_due(due)
            else:
                waiting.append(due)
            number += 1
        await asyncio.sleep(LOOK_SECONDS)
    return late
