"""A recorder as a process of its own, to be killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rolltape.testing.leash import Leashed

_PROGRAM = """
import sys
import time
from pathlib import Path
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.run import run_recorder
server, token, state = sys.argv[1:]
sys.exit(run_recorder(RecorderSettings(
    server=server, token=token, state_dir=Path(state), source="lavfi:sine=frequency=440", min_free_mb=1,
    backoff_first_sec=0.05, backoff_most_sec=0.5, poll_wait_sec=5, upload_chunk_bytes=2000,
)))
"""


class RecorderProcess:
    """Start it, kill it, start it again on the same folder."""

    def __init__(self, server: str, token: str, state: Path) -> None:
        self._arguments = [sys.executable, "-c", _PROGRAM, server, token, str(state)]
        self._log = state.parent / "recorder.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """All that it said."""
        return self._log.read_text("utf-8", "replace")

    def start(self) -> None:
        """Power up."""
        with self._log.open("ab") as log:
            self._process = Leashed[bytes](self._arguments, stdout=log, stderr=log, env=os.environ | {"TZ": "UTC"})

    def kill(self) -> None:
        """Pull the plug."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait_for(self, words: str, seconds: float = 15.0) -> None:
        """Wait until it has said `words`."""
        until = time.monotonic() + seconds
        while words not in self.log:
            assert time.monotonic() < until, f"in vain: {words}\n{self.log}"
            time.sleep(0.02)

    def end(self) -> int:
        """Ask it to end; answers its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)
