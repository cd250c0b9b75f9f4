"""One node as its parent sees it: a process that says once that it answers, and is told when to end."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ANSWERS: Final = b"+"
"""What a node says, once."""
END: Final = b"."
REPLACED: Final = b"r"
"""What it is told: to end, or to end since its successor serves already."""
START_SECONDS: Final = 60.0
"""A node that doesn't answer after so long will not."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a node is started: its number, its listening socket, a folder where nodes meet, and its environment."""

    number: int
    fd: int
    folder: Path
    env: Mapping[str, str]


class NodeProcess:
    """A process. It lives no longer than its parent: the pipe to its standard input closes with that."""

    def __init__(self, number: int, process: asyncio.subprocess.Process) -> None:
        self.number = number
        self.told = False
        self._process = process

    @staticmethod
    async def start(recipe: Recipe) -> "NodeProcess":
        """A fresh interpreter, in a process group of its own: a terminal's Ctrl-C is for the parent to pass on."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "rolltape.wiring.node"),
            *(str(recipe.number), str(recipe.fd), str(recipe.folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(recipe.fd,),
            process_group=0,
            env=recipe.env,
        )
        return NodeProcess(recipe.number, process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, once it has ended; -N where signal N ended it."""
        return self._process.returncode

    async def answers(self) -> bool:
        """Whether it has come to answer requests. One that takes too long is killed."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                return await self._process.stdout.read(1) == ANSWERS
        except TimeoutError:
            self.kill()
            return False

    def tell(self, word: bytes = END) -> None:
        """It is to end; told again, it is to hurry."""
        self.told = True
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(word)

    async def ended(self, within: float | None = None) -> bool:
        """Waits for its end. False where it had to be killed for it, after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
            return False
        return True

    def kill(self) -> None:
        """SIGKILL."""
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
