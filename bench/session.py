"""One run of the benchmarks: what was asked for, what was found so far, and how far it has got."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.effort import Effort
from bench.rows import Outcome, Row
from bench.servers.postgres import database, postgres


class Missing(Exception):
    """A tool isn't here. Its text says which, and how to get it."""


@dataclass(slots=True)
class Session:
    """What the parts are given. They add rows to `outcome` as they go."""

    effort: Effort
    outcome: Outcome = field(default_factory=Outcome)
    began: float = field(default_factory=time.monotonic)
    load_before: tuple[float, float, float] = field(default_factory=os.getloadavg)
    stack: ExitStack = field(default_factory=ExitStack)
    _servers: dict[int, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    @contextmanager
    def database(self, store: str, server: int = 0) -> Iterator[str | None]:
        """The URL of an empty PostgreSQL for as long as the context lasts; None where the store is SQLite.

        Those with the same `server` are on one and the same, which is started when it is first needed.
        """
        if store == "sqlite":
            yield None
            return
        if server not in self._servers:
            self._servers[server] = self.stack.enter_context(postgres(durable=self.effort.durable))
        with database(self._servers[server], f"bench{next(self._numbers)}") as url:
            yield url

    def say(self, text: str) -> None:
        """A line of progress, on standard error."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        print(f"{minutes:3d}:{seconds:02d}  {text}", file=sys.stderr, flush=True)

    def add(self, made: Row) -> None:
        """One more row."""
        self.outcome.rows.append(made)
        self.say(f"{made.bench}, {made.store}, {made.callers} callers: {made.ratio:.3g} against {made.peer}")

    def leave_out(self, what: str, why: str) -> None:
        """Something can't be measured here; that is no failure."""
        self.outcome.left_out[what] = why
        self.say(f"left out: {what}: {why}")

    def fail(self, what: str, error: BaseException) -> None:
        """Something went wrong; the rest goes on."""
        self.outcome.failed[what] = str(error) or repr(error)
        self.say(f"FAILED: {what}: {error}")

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Whatever goes wrong inside is told under that name, and hides nothing else."""
        try:
            yield
        except Missing as missing:
            self.leave_out(what, str(missing))
        except Exception as error:
            self.fail(what, error)


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """A folder that goes when the context ends; where, `--scratch` says."""
    with TemporaryDirectory(prefix="rolltape-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
