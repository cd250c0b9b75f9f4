"""Processes that end with us, however we end: also by SIGKILL, to which no program can answer.

A watcher, a shell of a few hundred KiB, reads a pipe whose other end is ours alone. The pipe closes when we are gone,
and the watcher does what is left to do. Linux could kill a child by itself (`PR_SET_PDEATHSIG`), but nobody else can,
it means the thread that started the child, and it doesn't reach what the child has started.
"""

import signal
import subprocess
import sys
from typing import Any, AnyStr

_GRACE_SEC = 3
_END = f"""
kill -TERM "$1" && for _ in $(seq {_GRACE_SEC * 10}); do kill -0 "$1" || exit; sleep 0.1; done; kill -KILL "$1"
"""


class Leash:
    """A watcher. `cure`: what a shell does once we are gone, with the arguments as `$1` and so on."""

    def __init__(self, cure: str, *arguments: str) -> None:
        self._watcher = subprocess.Popen(
            ["sh", "-c", f"read -r word && exit\n{cure}", "sh", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C is for us, not for the watcher
        )

    def let_go(self) -> None:
        """There is nothing left to do. Twice is fine."""
        if self._watcher.returncode is None:
            self._watcher.communicate(b"done\n")


class Leashed(subprocess.Popen[AnyStr]):
    """A process that is asked to end when we are gone, and killed where it hasn't after three seconds.

    The watcher is let go when the process is found to have ended, so that it never means another with the same number.
    """

    _leash: Leash | None = None

    def __init__(self, command: Any, **how: Any) -> None:
        super().__init__(command, **how)
        self._leash = Leash(_END, str(self.pid))

    def poll(self) -> int | None:
        """As subprocess has it."""
        return self._heard(super().poll())

    def wait(self, timeout: float | None = None) -> int:
        """As subprocess has it."""
        code = super().wait(timeout)
        self._heard(code)
        return code

    def _heard(self, code: int | None) -> int | None:
        if code is not None and self._leash is not None:
            self._leash.let_go()
            self._leash = None
        return code


def run_leashed(command: Any, **how: Any) -> "subprocess.CompletedProcess[str]":
    """Runs it to its end, and answers what it said, as text: `subprocess.run` for what takes a while."""
    with Leashed[str](command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how) as process:
        said, complained = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, said, complained)


def unwind_on_sigterm() -> None:
    """From now on SIGTERM ends this program as `sys.exit` does: what it has opened is closed, folders go too."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
