"""The load of the channel, a process of its own: `python -m bench.load.channel PLAN`, its figures as JSON.

It opens a channel for each device, says hello, and then commands devices in turn by an open loop: each POST goes out
when its time has come, whatever the ones before are doing, and an offer's time counts from that moment. Each device
answers its offer with an ack, and the go with a report. Frames are cut by hand: a library would be the bottleneck.
"""

import asyncio
import gc
import json
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import uvloop

from bench.load.closed import at_part

_ID = re.compile(rb'"id":"(cmd_[A-Za-z0-9]+)"')
_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)", re.IGNORECASE)
HELLO = b'{"type":"hello","v":1,"battery_percent":81,"connection_type":["wifi"]}'
AT_ONCE = 200
LAST_OFFERS_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to connect, and what to send. `commands` of `per_s` a second; 0: only connect, and wait for a line."""

    host: str
    port: int
    key: str
    devices: list[list[str]]
    per_s: float
    warmup: float
    seconds: float


@dataclass
class Run:
    """What was sent and what came."""

    plan: Plan
    sent: dict[bytes, float] = field(default_factory=dict)
    offered: dict[bytes, float] = field(default_factory=dict)
    doubled: int = 0
    greeted: int = 0
    errors: list[str] = field(default_factory=list)
    late: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


def masked(payload: bytes) -> bytes:
    """One text frame from a client. The mask is zero, so that it costs nothing."""
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else bytes((0x81, 0xFE)) + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


class Device(asyncio.Protocol):
    """One device on its channel."""

    def __init__(self, run: Run, token: str) -> None:
        self.run = run
        self.token = token
        self.buffer = b""
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(
            b"GET /v1/devices/me/channel HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Protocol: rolltape.channel.v1\r\nAuthorization: Bearer " + self.token.encode() + b"\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        data = self.buffer + data
        if not self.open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self.buffer = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.run.errors.append(head.decode("latin-1"))
                return
            self.open = True
            self.transport.write(masked(HELLO))
        self.buffer = self._frames(data, now)

    def _frames(self, data: bytes, now: float) -> bytes:
        while len(data) >= 2:
            size, start = data[1] & 0x7F, 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            if len(data) < start + size:
                break
            self._frame(data[0] & 0x0F, data[start : start + size], now)
            data = data[start + size :]
        return data

    def _frame(self, opcode: int, text: bytes, now: float) -> None:
        if text.startswith(b'{"type":"offer"'):
            self._offer(text, now)
        elif text.startswith(b'{"type":"go"'):
            id_ = text[19:].partition(b'"')[0]
            self.transport.write(masked(b'{"type":"report","id":"' + id_ + b'","status":"executed"}'))
        elif text.startswith(b'{"type":"hello"'):
            self.run.greeted += 1
            self.run.changed.set()
        elif opcode != 1 or text.startswith((b'{"type":"error"', b'{"type":"no_go"', b'{"type":"revoked"')):
            self.run.errors.append(f"{opcode} {text[:300]!r}")

    def _offer(self, text: bytes, now: float) -> None:
        found = _ID.search(text)
        assert found is not None
        if found[1] in self.run.offered:
            self.run.doubled += 1
            return
        self.run.offered[found[1]] = now
        self.transport.write(masked(b'{"type":"ack","id":"' + found[1] + b'"}'))

    def connection_lost(self, exc: Exception | None) -> None:
        self.run.errors.append(f"a channel was closed: {exc}")


class Backend(asyncio.Protocol):
    """One connection of the backend, for one request at a time."""

    def __init__(self, run: Run, idle: list["Backend"]) -> None:
        self.run = run
        self.idle = idle
        self.buffer = b""
        self.begun = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, begun: float) -> None:
        """One request, whose time began at `begun`."""
        self.begun = begun
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data
        end = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data) if end > 0 else None
        if length is None or len(data) < end + 4 + int(length[1]):
            self.buffer = data
            return
        self.buffer = b""
        found = _ID.search(data)
        if data[9:12] != b"201" or found is None:
            self.run.errors.append(data[:600].decode("utf-8", "replace"))
        else:
            self.run.sent[found[1]] = self.begun
        self.idle.append(self)


async def connect_all(run: Run) -> None:
    """Opens every channel, some at a time; all have said hello then. RuntimeError when one is refused."""
    loop = asyncio.get_running_loop()
    plan = run.plan
    for first in range(0, len(plan.devices), AT_ONCE):
        some = plan.devices[first : first + AT_ONCE]
        for _, token in some:
            await loop.create_connection(lambda token=token: Device(run, token), plan.host, plan.port)  # type: ignore[misc]
        async with asyncio.timeout(30):
            while run.greeted < first + len(some) and not run.errors:
                run.changed.clear()
                await run.changed.wait()
        if run.errors:
            raise RuntimeError(run.errors[0])


async def command_all(run: Run) -> tuple[float, float]:
    """Commands devices in turn, by the clock; the span that counts."""
    plan, loop = run.plan, asyncio.get_running_loop()
    idle: list[Backend] = []
    for _ in range(64):
        _, backend = await loop.create_connection(lambda: Backend(run, idle), plan.host, plan.port)
        idle.append(backend)
    requests = [_request(plan, id_) for id_, _ in plan.devices]
    begin = time.perf_counter() + 0.1
    for number in range(int(plan.per_s * (plan.warmup + plan.seconds))):
        due = begin + number / plan.per_s
        while (left := due - time.perf_counter()) > 0:
            await asyncio.sleep(left if left > 0.002 else 0)
        while not idle:
            await asyncio.sleep(0)
        run.late = max(run.late, time.perf_counter() - due)
        idle.pop().send(requests[number % len(requests)], due)
    return begin + plan.warmup, begin + plan.warmup + plan.seconds


def _request(plan: Plan, device_id: str) -> bytes:
    body = b'{"type":"start_recording","params":{"max_duration_sec":1800},"ttl_seconds":3600}'
    head = f"POST /v1/devices/{device_id}/commands HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {plan.key}\r\n"
    return head.encode() + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def run_plan(plan: Plan) -> dict[str, Any]:
    """The figures: times from a command's due time to its offer in ms, and what was lost or came twice."""
    run = Run(plan)
    await connect_all(run)
    if not plan.per_s:
        print(json.dumps({"open": run.greeted}), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        return {"open": run.greeted, "errors": run.errors[:3]}
    begin, end = await command_all(run)
    total = int(plan.per_s * (plan.warmup + plan.seconds))
    give_up = time.perf_counter() + LAST_OFFERS_SECONDS
    while (len(run.offered) < total or len(run.sent) < total) and time.perf_counter() < give_up and not run.errors:
        await asyncio.sleep(0.01)
    times = sorted(run.offered[id_] - at for id_, at in run.sent.items() if begin <= at < end and id_ in run.offered)
    return {
        "per_s": len(times) / plan.seconds,
        "p50_ms": at_part(times, 0.50),
        "p99_ms": at_part(times, 0.99),
        "worst_ms": at_part(times, 1.0),
        "lost": total - len(run.offered.keys() & run.sent.keys()),
        "doubled": run.doubled,
        "late_ms": round(run.late * 1000, 3),
        "errors": run.errors[:3],
    }


def main(path: Path) -> None:
    """Runs the plan in `path`."""
    plan = Plan(**json.loads(path.read_text()))
    gc.freeze()
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run_plan(plan))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
