"""The load generator, a process of its own (`python -m bench.load.closed`, see `bench.load.resident`).

A closed loop: each caller has one connection and sends its next request when it has the answer to the last. Of an
answer only the status and the length are read. Any other status than the plan's is counted as an error, and the run is
worth nothing then. With `per_s` in the plan it is an open loop (`bench.load.open`).
"""

import asyncio
import re
import time
from typing import Any, cast

from bench.load.plan import Plan, Requests
from bench.load.resident import serve

_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)", re.IGNORECASE)
LAST_ANSWERS_SECONDS = 30


class Run:
    """What all callers of one run share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.requests = Requests(plan)
        self.expect = b" %d " % plan.expect
        self.end = 0.0
        self.left = plan.most or 1 << 62
        self.finished: list[tuple[float, float]] = []
        self.errors: list[str] = []
        self.open = 0
        self.over = asyncio.Event()
        self.spent = time.process_time()

    def told(self, times: list[float], seconds: float) -> dict[str, Any]:
        """What is said of the run. `answered` counts the warm-up's answers too, as `load_us` has its work on them."""
        return told(times, seconds, len(self.finished), self.spent) | {
            "errors": self.errors[:3],
            "next": self.requests.number,
        }

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

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done:
            self.finish(f"the connection was closed: {exc}")

    def send(self) -> None:
        """Sends the next request; after a hang-up there is nobody to send it to."""
        if not self.done:
            self.run.left -= 1
            self.sent = time.perf_counter()
            self.transport.write(self.run.requests.next())

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        end = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data) if end > 0 else None
        if length is None or len(data) < end + 4 + int(length[1]):
            self.buffer = data
            return
        self.buffer = b""
        if data[8:13] != self.run.expect:
            self.finish(in_a_line(data))
        else:
            self.answered(time.perf_counter())

    def answered(self, now: float) -> None:
        """The answer was right; goes on while there is time."""
        self.run.finished.append((now, now - self.sent))
        if now < self.run.end and self.run.left > 0:
            self.send()
        else:
            self.finish()

    def finish(self, error: str | None = None) -> None:
        """This caller stops."""
        if not self.done:
            self.done = True
            self.run.one_less(error)
            self.transport.close()


def in_a_line(answer: bytes) -> str:
    """An answer as it is told: its status and its body, up to where a grant would begin."""
    head, _, body = answer.partition(b"\r\n\r\n")
    told = body.partition(b'"grant_token"')[0][:300]
    return (head.partition(b"\r\n")[0] + b": " + told).decode("utf-8", "replace")


async def run_plan(plan: Plan) -> dict[str, Any]:
    """The figures of one run: answers a second after the warm-up, their times in ms, and what went wrong."""
    run = Run(plan)
    loop = asyncio.get_running_loop()
    run.open = plan.callers  # before the first connects: a server that hangs up at once counts too
    callers = []
    for _ in range(plan.callers):
        _, caller = await loop.create_connection(lambda: Caller(run), plan.host, plan.port)
        callers.append(caller)
    begin = time.perf_counter() + plan.warmup
    run.end = begin + plan.seconds
    for caller in callers:
        caller.send()
    try:
        await asyncio.wait_for(run.over.wait(), plan.warmup + plan.seconds + LAST_ANSWERS_SECONDS)
    except TimeoutError:
        run.errors.append("some answers never came")
    return run.told(*counted(run.finished, begin, plan.seconds))


def counted(finished: list[tuple[float, float]], begin: float, seconds: float) -> tuple[list[float], float]:
    """The times that count, and the span that they count in: from `begin` on so many seconds.

    Where a server is so slow that no answer came in these, the span goes on to the last.
    """
    times = [took for at, took in finished if begin <= at < begin + seconds]
    if times or not finished or finished[-1][0] <= begin:
        return times, seconds
    return [took for at, took in finished if at >= begin], finished[-1][0] - begin


def told(times: list[float], seconds: float, answered: int, spent: float) -> dict[str, Any]:
    """The figures that every generator has. `spent`: its processor time when the run began."""
    times.sort()
    return {
        "per_s": len(times) / seconds,
        "p50_ms": at_part(times, 0.50),
        "p99_ms": at_part(times, 0.99),
        "answered": answered,
        "load_us": round((time.process_time() - spent) * 1e6 / max(answered, 1), 1),
    }


def at_part(times: list[float], part: float) -> float:
    """A quantile of sorted seconds, in ms."""
    return round(times[min(int(len(times) * part), len(times) - 1)] * 1000, 3) if times else 0.0


async def run_any(told: dict[str, Any]) -> dict[str, Any]:
    """By a closed or an open loop, as the plan says."""
    from bench.load.open import run_open

    plan = Plan(**told)
    return await (run_open(plan) if plan.per_s else run_plan(plan))


if __name__ == "__main__":
    serve(run_any)
