"""Load processes that stay from run to run: to start one anew each time would cost more than most runs.

Each reads plans, one in a line, and answers figures, one in a line, each as JSON.
"""

import asyncio
import atexit
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any

import uvloop

from bench.servers.process import ROOT
from rolltape.testing.leash import Leashed

Told = dict[str, Any]
_running: dict[str, "Resident"] = {}


class Resident:
    """One such process. It ends when its input does."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # as long as the process
        command = [sys.executable, "-m", module]
        self._process = Leashed[str](
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=ROOT
        )

    def run(self, plan: Any) -> Told:
        """One plan. RuntimeError, with its last words, when the process ended over it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(plan)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            raise RuntimeError(f"{self._module} ended: {self._log.read().strip()[-600:]}")
        told: Told = json.loads(line)
        return told

    def close(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.communicate()
        self._log.close()


def run_load(module: str, plan: Any) -> Told:
    """One run in the process of that module, which is started when it is first needed, or ended over its last plan."""
    if module not in _running:
        _running[module] = Resident(module)
    try:
        return _running[module].run(plan)
    except (RuntimeError, OSError):
        _running.pop(module).close()
        raise


@atexit.register
def end_all() -> None:
    """Ends all that run."""
    while _running:
        _running.popitem()[1].close()


def serve(run_plan: Callable[[Told], Coroutine[Any, Any, Told]]) -> None:
    """In the process: takes plans until the input ends. The collector works between runs, never in one."""
    gc.disable()
    for line in sys.stdin:
        gc.collect()
        gc.freeze()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            print(json.dumps(runner.run(run_plan(json.loads(line)))), flush=True)
