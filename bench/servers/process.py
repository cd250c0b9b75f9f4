"""A process that prints its URL once it listens, and ends on SIGTERM."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from rolltape.testing.leash import Leashed

ROOT = Path(__file__).parents[2]
ENDING_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Listening:
    """Where it listens."""

    host: str
    port: int
    pid: int


@contextmanager
def listening(*command: str, **env: str) -> Iterator[Listening]:
    """`python -m COMMAND`, for as long as the context lasts. RuntimeError, with its last words, when it can't start."""
    with (
        tempfile.TemporaryFile("w+") as log,
        Leashed[str](
            [sys.executable, "-m", *command],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
            env={**os.environ, **env},
        ) as process,
    ):
        try:
            assert process.stdout is not None
            url = urlsplit(process.stdout.readline().strip().rpartition(" ")[2])
            if not url.port:
                process.wait(ENDING_SECONDS)
                log.seek(0)
                raise RuntimeError(f"{command[0]} did not start: {log.read()[-1000:].strip()}")
            yield Listening(url.hostname or "", url.port, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def cpu_seconds(pid: int | None) -> float:
    """Processor time, user and system, of a process, all its threads and all its children, ended ones too."""
    if pid is None:
        return 0.0
    process = psutil.Process(pid)
    own = process.cpu_times()
    total = _own_seconds(pid, own.user + own.system) + float(own.children_user + own.children_system)
    for child in process.children():
        try:
            total += cpu_seconds(child.pid)
        except psutil.NoSuchProcess:  # it ended meanwhile: its parent has its time the next time
            continue
    return total


def _own_seconds(pid: int, in_ticks: float) -> float:
    """To the nanosecond where the system has a clock for each process (Linux), else as it was told in ticks."""
    if sys.platform == "linux":
        try:
            return time.clock_gettime(~pid << 3 | 2)  # see clock_getcpuclockid(3): the clock of all its threads
        except OSError:
            pass
    return in_ticks
