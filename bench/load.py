"""The load generator, a process of its own: `python -m bench.load PLAN`, its figures as JSON on standard output.

A closed loop: each caller has one connection and sends its next request when it has the answer to the last. Requests
are made before the clock starts; of an answer only the status and the length are read. Any other status than the plan's
is counted as an error, and the run is worth nothing then.
"""

import asyncio
import gc
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvloop

SLOT = "################"
"""Where a request's own number goes: 16 hex digits."""
_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)", re.IGNORECASE)
LAST_ANSWERS_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, to whom, for how long. `requests` are taken in turn, beginning at number `first`."""

    host: str
    port: int
    callers: int
    warmup: float
    seconds: float
    expect: int
    requests: list[str]
    first: int = 0


class Run:
    """What all callers of one run share."""

    def __init__(self, plan: Plan) -> None:
        self.parts = [tuple(part.encode() for part in text.split(SLOT)) for text in plan.requests]
        self.expect = b" %d " % plan.expect
        self.number = plan.first
        self.end = 0.0
        self.finished: list[tuple[float, float]] = []
        self.errors: list[str] = []
        self.open = 0
        self.over = asyncio.Event()

    def next_request(self) -> bytes:
        """The next request, whole."""
        parts = self.parts[self.number % len(self.parts)]
        self.number += 1
        return parts[0] if len(parts) == 1 else parts[0] + b"%016x" % self.number + parts[1]

    def one_less(self, error: str | None = None) -> None:
        """A caller is done."""
        if error is not None:
            self.errors.append(error)
        self.open -= 1
        if self.open == 0:
            self.over.set()


class Caller(asyncio.Protocol):
    """One caller on one connection."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.buffer = b""
        self.sent = 0.0
        self.done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass

    def send(self) -> None:
        """Sends the next request."""
        self.sent = time.perf_counter()
        self.transport.write(self.run.next_request())

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        end = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data) if end > 0 else None
        if length is None or len(data) < end + 4 + int(length[1]):
            self.buffer = data
            return
        self.buffer = b""
        now = time.perf_counter()
        if data[8:13] != self.run.expect:
            self.finish(data[:600].decode("utf-8", "replace"))
            return
        self.run.finished.append((now, now - self.sent))
        if now < self.run.end:
            self.send()
        else:
            self.finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done:
            self.finish(f"the connection was closed: {exc}")

    def finish(self, error: str | None = None) -> None:
        """This caller stops."""
        if not self.done:
            self.done = True
            self.run.one_less(error)
            self.transport.close()


async def run_plan(plan: Plan) -> dict[str, Any]:
    """The figures of one run: answers a second after the warm-up, their times in ms, and what went wrong."""
    run = Run(plan)
    loop = asyncio.get_running_loop()
    callers = []
    for _ in range(plan.callers):
        _, caller = await loop.create_connection(lambda: Caller(run), plan.host, plan.port)
        callers.append(caller)
    run.open = len(callers)
    begin = time.perf_counter() + plan.warmup
    run.end = begin + plan.seconds
    for caller in callers:
        caller.send()
    try:
        await asyncio.wait_for(run.over.wait(), plan.warmup + plan.seconds + LAST_ANSWERS_SECONDS)
    except TimeoutError:
        run.errors.append("some answers never came")
    times = sorted(took for at, took in run.finished if begin <= at < run.end)
    return {
        "per_s": len(times) / plan.seconds,
        "p50_ms": at_part(times, 0.50),
        "p99_ms": at_part(times, 0.99),
        "errors": run.errors[:3],
        "next": run.number,
    }


def at_part(times: list[float], part: float) -> float:
    return round(times[min(int(len(times) * part), len(times) - 1)] * 1000, 3) if times else 0.0


def main(path: Path) -> None:
    """Runs the plan in `path`."""
    plan = Plan(**json.loads(path.read_text()))
    gc.freeze()
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run_plan(plan))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
