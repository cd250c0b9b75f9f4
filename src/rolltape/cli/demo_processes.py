"""The demo's server and recorder: processes of their own, each with a log, ended whatever happens."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

_END_SEC = 12.0
ROLLTAPE = (sys.executable, "-m", "rolltape.cli.main")


class StoryBroken(Exception):
    """The demo can't go on; the text says why."""


class Child:
    """`rolltape …`, or another program of ours, as a process.

    Its standard error goes to `log`; Ctrl-C in the terminal doesn't reach it.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        program: tuple[str, ...] = ROLLTAPE,
    ) -> None:
        self.name, self.log = name, log
        with log.open("ab") as stream:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [*program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**os.environ, **(env or {}), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                text=True,
            )
        self._lines: queue.Queue[str] = queue.Queue()
        assert self._process.stdout is not None, "it is piped"
        threading.Thread(target=_read_lines, args=(self._process.stdout, self._lines), daemon=True).start()

    def first_line(self, timeout: float) -> str:
        """The first line of its standard output. StoryBroken when none comes within `timeout` seconds."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise StoryBroken(f"the {self.name} said nothing for {timeout:.0f} s") from None
        if not line:
            raise StoryBroken(f"the {self.name} ended before it was up")
        return line.strip()

    def next_line(self, timeout: float) -> str | None:
        """A further line, or None when none comes within `timeout` seconds."""
        try:
            return self._lines.get(timeout=timeout).strip()
        except queue.Empty:
            return None

    def check(self) -> None:
        """StoryBroken when it has ended."""
        code = self._process.poll()
        if code is not None:
            raise StoryBroken(f"the {self.name} ended by itself, with exit code {code}")

    def end(self) -> int:
        """Ask it to end, wait, and answer its exit code; after 12 s it is killed."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(_END_SEC)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def log_tail(self, lines: int = 15) -> str:
        """The end of its log."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def _read_lines(stream: IO[str], lines: "queue.Queue[str]") -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def rolltape(*arguments: str) -> str:
    """Run `rolltape …` to its end and answer its standard output. StoryBroken when it fails."""
    done = subprocess.run([*ROLLTAPE, *arguments], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    if done.returncode != 0:
        raise StoryBroken(f"rolltape {' '.join(arguments[:2])} failed: {done.stderr.strip()}")
    return done.stdout
