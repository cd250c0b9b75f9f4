"""Whoever starts servers for a test or a benchmark may be ended in any way: nothing of it stays."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import psutil
import pytest

from rolltape.testing.leash import Leashed

ROOT = Path(__file__).parents[2]
PATIENCE_SEC = 20
SLEEPER = """
import signal, subprocess, sys
from rolltape.testing.leash import Leashed
signal.signal(signal.SIGINT, signal.default_int_handler)  # who is started in the background ignores it, and so would we
child = [sys.executable, "-c", "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); "
         "sys.stdin.read()"]
with Leashed(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
    process.stdout.readline()
    print("up", flush=True)
    signal.pause()
"""
SERVERS = """
import signal, sys
from pathlib import Path
from rolltape.testing.postgres import PostgresServer
from rolltape.testing.process import start_server
folder = Path(sys.argv[1])
database = PostgresServer()
start_server(folder / "data", ROLLTAPE_DATABASE=database.url)
print("up", flush=True)
signal.pause()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Beside pytest's own folders, which are closed to the user that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="leash-") as made:
        yield Path(made)


def ours(folder: Path) -> list[psutil.Process]:
    """All processes whose temporary files go to this folder; PostgreSQL's own too, and the watchers."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def names(processes: list[psutil.Process]) -> set[str]:
    """Of those that are still there."""
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found.add(process.name())
    return found


@contextmanager
def started(folder: Path, *command: str) -> Iterator["subprocess.Popen[str]"]:
    """A program in a session of its own, as if in a terminal, whose processes are known by their TMPDIR."""
    env = {**os.environ, "TMPDIR": str(folder)}
    with Leashed[str](
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=env,
        start_new_session=True,
    ) as process:
        yield process


def has_said(process: "subprocess.Popen[str]", is_it: Callable[[str], bool]) -> None:
    assert process.stdout is not None
    assert any(is_it(line) for line in process.stdout), "it ended before it was up"


def all_gone(processes: list[psutil.Process]) -> bool:
    """Whether they end in time. One that is dead and not yet buried by the system has ended."""
    until = time.monotonic() + PATIENCE_SEC
    while any(is_alive(process) for process in processes):
        if time.monotonic() > until:
            return False
        Event().wait(0.02)
    return True


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_killed_program_leaves_no_server_no_postgresql_and_no_folder_of_it(folder: Path) -> None:
    folder.chmod(0o755)
    with started(folder, "-c", SERVERS, str(folder)) as process:
        has_said(process, lambda line: line == "up\n")
        running = ours(folder)
        assert {"postgres", "sh"} <= names(running)
        assert any("serve" in each.cmdline() for each in running)
        process.kill()
        process.wait(PATIENCE_SEC)
        assert all_gone(running)
    assert not list(folder.glob("rolltape-pg-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_a_program_started_ends_with_it_whatever_signal_its_terminal_sends(
    folder: Path, number: signal.Signals
) -> None:
    with started(folder, "-c", SLEEPER) as process:
        has_said(process, lambda line: line == "up\n")
        running = ours(folder)
        assert len(running) == 3, "the program, its child and the watcher"
        os.killpg(process.pid, number)
        process.wait(PATIENCE_SEC)
        assert all_gone(running)


def test_a_process_that_has_ended_has_no_watcher_left() -> None:
    before = set(psutil.Process().children())
    with Leashed[bytes](["cat"], stdin=subprocess.PIPE) as process:
        assert len(set(psutil.Process().children()) - before) == 2
        process.communicate()
    assert not set(psutil.Process().children()) - before


def test_a_benchmark_that_is_told_to_end_leaves_nothing(folder: Path) -> None:
    folder.chmod(0o755)
    options = ("--quick", "--only", "limits", "--stores", "postgres", "--out", str(folder / "out.json"))
    with started(folder, "-m", "bench", *options, "--scratch", str(folder)) as process:
        has_said(process, lambda line: "== limits" in line)
        while "postgres" not in names(running := ours(folder)):
            assert process.poll() is None
        process.terminate()
        process.communicate()
        assert process.returncode == 128 + signal.SIGTERM
        assert all_gone(running)
    assert not ours(folder)
    assert not list(folder.glob("[!.]*")), "there is the lock of the wheel, which stays"
