"""Create to offer on an open channel, and what an idle channel costs."""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.effort import Effort
from bench.load.channel import Plan
from bench.rows import Row
from bench.seed.store import Size, seed
from bench.servers.ours import ours
from bench.servers.process import ROOT
from bench.servers.target import Target
from bench.session import Session, fresh_folder
from rolltape.testing.leash import Leashed

HONO = "Eclipse Hono, published"
HONO_PER_S, HONO_P50_MS, HONO_P99_MS, HONO_LOST_PERCENT = 300.0, 68.0, 279.0, 1.0
"""The one published figure of a peer: three servers, 300 commands/s."""
SPARE_SOCKETS = 500
SPANS = 6
"""A round takes so many times as long as one of another part: 300 commands/s are few."""


def compare_channel(session: Session) -> None:
    """Open channels, commands by an open loop; then idle channels alone. On SQLite."""
    effort = session.effort
    sockets = raise_open_files(effort.idle[-1] + SPARE_SOCKETS)
    idle = tuple(count for count in effort.idle if count + SPARE_SOCKETS <= sockets)
    if idle != effort.idle:
        session.leave_out("more idle channels", f"only {sockets} open files are allowed here; measured are {idle}")
    with session.guarded("channel"), fresh_folder() as folder:
        seeded = seed(folder / "ours", Size(max(effort.channels, *idle)))
        session.say("idle channels")
        with ours(seeded) as target:
            memory = _memory(target, idle)
        with ours(seeded) as target:
            rounds = []
            for number in range(effort.rounds):
                session.say(f"create to offer on {effort.channels:,} channels, round {number + 1}")
                rounds.append(_round(target, effort))
        session.add(_row(rounds, effort, memory))


def raise_open_files(wanted: int) -> int:
    """How many files a process may have open, this one's children too: `wanted`, if that can be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(soft, most)


@contextmanager
def _loading(plan: Plan) -> Iterator["subprocess.Popen[str]"]:
    with tempfile.TemporaryDirectory(prefix="rolltape-bench-plan-") as folder:
        path = Path(folder) / "plan.json"
        path.write_text(json.dumps(asdict(plan)))
        command = [sys.executable, "-m", "bench.load.channel", str(path)]
        with Leashed[str](command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            yield process


def _told(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    told: dict[str, Any] = json.loads(process.stdout.readline() or '{"errors": ["the load process ended"]}')
    if told.get("errors"):
        raise RuntimeError(f"the run says nothing: {told['errors'][0]}")
    return told


def _plan(target: Target, channels: int, per_s: float, effort: Effort) -> Plan:
    devices = [list(each) for each in target.devices.each(channels)]
    return Plan(target.host, target.port, target.key, devices, per_s, effort.warmup, effort.seconds * SPANS)


def _round(target: Target, effort: Effort) -> dict[str, Any]:
    with _loading(_plan(target, effort.channels, HONO_PER_S, effort)) as process:
        return _told(process)


def _memory(target: Target, counts: tuple[int, ...]) -> dict[str, float]:
    """KiB that the server grew by for each idle channel, with so many of them."""
    before = _rss_kib(target.pid)
    found = {}
    for count in counts:
        plan = Plan(target.host, target.port, target.key, [list(each) for each in target.devices.each(count)], 0, 0, 0)
        with _loading(plan) as process:
            _told(process)
            found[f"kib_per_idle_channel_of_{count}"] = round((_rss_kib(target.pid) - before) / count, 1)
            process.communicate("done\n")
    return found


def _rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("this system doesn't tell how much memory a process has")


def _row(rounds: list[dict[str, Any]], effort: Effort, memory: dict[str, float]) -> Row:
    ratios = [HONO_P50_MS / each["p50_ms"] for each in rounds]
    return Row(
        bench=f"create to offer on {effort.channels:,} channels",
        store="sqlite",
        callers=effort.channels,
        ours_per_s=_median(rounds, "per_s"),
        peer=HONO,
        peer_per_s=HONO_PER_S,
        ratio=round(statistics.median(ratios), 2),
        ratio_low=round(min(ratios), 2),
        ratio_high=round(max(ratios), 2),
        p50_ms=_median(rounds, "p50_ms"),
        p99_ms=_median(rounds, "p99_ms"),
        peer_p50_ms=HONO_P50_MS,
        peer_p99_ms=HONO_P99_MS,
        rounds=len(rounds),
        target="p99 at most 25",
        note="the aim for p50 is 5 ms; the peer's figures are published ones, of three servers, with 1 % lost",
        more={
            "lost": sum(each["lost"] for each in rounds),
            "doubled": sum(each["doubled"] for each in rounds),
            "worst_ms": max(each["worst_ms"] for each in rounds),
            "load_late_ms": max(each["late_ms"] for each in rounds),
            "peer_lost_percent": HONO_LOST_PERCENT,
            **memory,
        },
    )


def _median(rounds: list[dict[str, Any]], name: str) -> float:
    values: list[float] = [each[name] for each in rounds]
    return round(statistics.median(values), 3)
