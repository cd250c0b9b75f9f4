"""`rolltape serve` as a process of its own on a free port, for tests and benchmarks that want the real thing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rolltape.testing.leash import Leashed

_URL_MARK = "http"
CLI = (sys.executable, "-m", "rolltape.cli.main")


@dataclass(slots=True)
class ServerProcess:
    """A running server: its URL, its data folder, and its process."""

    url: str
    data: Path
    process: subprocess.Popen[str]

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return self.process.returncode


def start_server(data: Path, port: int = 0, *arguments: str, **env: str) -> ServerProcess:
    """Starts a server and waits until it answers. `env` adds settings. Raises RuntimeError with its log if it can't."""
    return start_program(CLI, data, port, *arguments, env=env)


def start_program(
    command: Sequence[str], data: Path, port: int, *arguments: str, env: Mapping[str, str]
) -> ServerProcess:
    """The same for another program than the command line, which takes the same arguments."""
    with (data.parent / f"{data.name}.log").open("a") as log:
        process = Leashed[str](
            [*command, "serve", "--data", str(data), "--port", str(port), *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **env},
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    if _URL_MARK not in line:
        process.communicate(timeout=30)
        raise RuntimeError(f"the server did not start: {Path(log.name).read_text()[-2000:]}")
    return ServerProcess(line[line.index(_URL_MARK) :].strip(), data, process)


@contextmanager
def running_server(data: Path, *arguments: str, **env: str) -> Iterator[ServerProcess]:
    """A server for the length of a test."""
    server = start_server(data, 0, *arguments, **env)
    try:
        yield server
    finally:
        server.kill()


def make_key(data: Path, mode: str = "test", scopes: str | None = None, **env: str) -> dict[str, str]:
    """`rolltape keys create --json` beside the server: id, key, project_id, scopes. `env` adds settings."""
    chosen = [] if scopes is None else ["--scopes", scopes]
    made = subprocess.run(
        [*CLI, "keys", "create", "--data", str(data), "--mode", mode, *chosen, "--json"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **env},
    )
    answer: dict[str, str] = json.loads(made.stdout)
    return answer
