"""A large fleet for minutes: `python -m bench.fleet` starts a server, runs `rolltape simulate` on it, and draws it.

Processor time is read from the system every few seconds: the server's (all its threads), PostgreSQL's with its
children, the simulator's. Requests are counted by the server itself. The exit code is the simulator's: 0 where every
promise was kept, 1 where one was broken; the file has what, how often, and examples.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncpg
import psutil
from matplotlib.figure import Figure

from bench.servers.ours import NO_LIMITS, SERVER
from bench.servers.postgres import database, first_pid, postgres
from bench.servers.process import ROOT, Listening, cpu_seconds, listening
from rolltape.testing.leash import Leashed, unwind_on_sigterm

SIMULATOR = SERVER
"""The simulator's program: `rolltape` too."""
_REQUESTS = re.compile(rb"^rolltape_http_requests_total\S* ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was used since the sample before: seconds from the start, parts of a core, MB, requests a second."""

    at: float
    server: float
    database: float
    simulator: float
    server_mb: float
    requests: float


def main(arguments: list[str] | None = None) -> int:
    """One run; the simulator's exit code."""
    wishes = _parser().parse_args(arguments)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rolltape-fleet-")))
        settings = dict(NO_LIMITS)
        pid = None
        if wishes.store == "postgres":
            url = stack.enter_context(database(stack.enter_context(postgres()), "fleet"))
            settings["ROLLTAPE_DATABASE"], pid = url, first_pid(url)
        server = stack.enter_context(listening(SERVER, "serve", "--data", str(scratch), "--port", "0", **settings))
        key = _key(scratch, settings)
        simulator = _simulator(wishes, server, key, scratch / "report.json")
        samples = list(_watched(simulator, server, pid, wishes.sample))
        history = None if pid is None else asyncio.run(_history_bytes(settings["ROLLTAPE_DATABASE"]))
        report = json.loads((scratch / "report.json").read_text()) if (scratch / "report.json").exists() else None
    wishes.out.parent.mkdir(parents=True, exist_ok=True)
    told = {"store": wishes.store, "history_bytes": history, "report": report}
    told["samples"] = [asdict(sample) for sample in samples]
    wishes.out.write_text(json.dumps(told, indent=1))
    _draw(samples, wishes, wishes.out.with_suffix(".png"))
    return simulator.returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--every", type=float, default=30, help="seconds between a device's heartbeats")
    parser.add_argument("--commands-per-second", type=float, default=100)
    parser.add_argument("--loss", type=float, default=0.01)
    parser.add_argument("--ttl", type=int, default=300, help="how long most commands are good, in seconds")
    parser.add_argument("--sample", type=float, default=5, help="seconds between two readings of what is used")
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "out" / "fleet.json")
    return parser


def _key(data: Path, settings: dict[str, str]) -> str:
    command = [sys.executable, "-m", SERVER, "keys", "create", "--data", str(data), "--mode", "test", "--json"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **settings})
    key: str = json.loads(made.stdout)["key"]
    return key


def _simulator(wishes: argparse.Namespace, server: Listening, key: str, report: Path) -> "subprocess.Popen[bytes]":
    options = {
        "--devices": wishes.devices,
        "--seconds": wishes.seconds,
        "--every": wishes.every,
        "--commands-per-second": wishes.commands_per_second,
        "--loss": wishes.loss,
        "--ttl": wishes.ttl,
        "--server": f"http://{server.host}:{server.port}",
        "--json": report,
    }
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", SIMULATOR, "simulate", *words]
    return Leashed[bytes](command, env={**os.environ, "ROLLTAPE_API_KEY": key})


def _watched(
    simulator: "subprocess.Popen[bytes]", server: Listening, database_pid: int | None, every: float
) -> Iterator[Sample]:
    began = last = time.monotonic()
    before = _used(simulator, server, database_pid)
    while simulator.poll() is None:
        try:
            simulator.wait(every)
        except subprocess.TimeoutExpired:
            now, after = time.monotonic(), _used(simulator, server, database_pid)
            parts = [(used - earlier) / (now - last) for used, earlier in zip(after, before, strict=True)]
            memory = psutil.Process(server.pid).memory_info().rss / 1e6
            yield Sample(now - began, parts[0], parts[1], parts[2], memory, parts[3])
            last, before = now, after


def _used(
    simulator: "subprocess.Popen[bytes]", server: Listening, database_pid: int | None
) -> tuple[float, float, float, float]:
    with urllib.request.urlopen(f"http://{server.host}:{server.port}/metrics") as answer:
        requests = sum(float(count) for count in _REQUESTS.findall(answer.read()))
    return cpu_seconds(server.pid), cpu_seconds(database_pid), cpu_seconds(simulator.pid), requests


async def _history_bytes(url: str) -> int:
    """What commands and their events take, indexes included."""
    conn = await asyncpg.connect(url)
    try:
        return int(await conn.fetchval("SELECT pg_total_relation_size('commands') + pg_total_relation_size('events')"))
    finally:
        await conn.close()


def _draw(samples: list[Sample], wishes: argparse.Namespace, file: Path) -> None:
    figure = Figure(figsize=(9.0, 5.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    at = [sample.at for sample in samples]
    above.plot(at, [sample.requests for sample in samples], label="requests/s")
    above.set_ylabel("requests/s")
    above.set_title(
        f"{wishes.devices:,} devices, a heartbeat each {wishes.every:g} s, "
        f"{wishes.commands_per_second:g} commands/s, on {wishes.store}"
    )
    for name in ("server", "database", "simulator"):
        if any(getattr(sample, name) for sample in samples):
            below.plot(at, [getattr(sample, name) for sample in samples], label=name)
    below.set_ylabel("cores")
    below.set_xlabel("seconds")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
    if samples:
        below.legend(frameon=False)
    figure.savefig(file, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    unwind_on_sigterm()
    sys.exit(main())
