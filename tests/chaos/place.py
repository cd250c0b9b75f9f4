"""What is tormented: PostgreSQL and two nodes as processes, each with its addresses behind links."""

import asyncio
import http.client
import signal
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import asyncpg

from rolltape.testing.postgres import PostgresServer
from rolltape.testing.process import CLI, ServerProcess, make_key, start_program
from tests.chaos.link import Link, LinkThread

SETTINGS = {"ROLLTAPE_KEY_RATE": "0", "ROLLTAPE_DEVICE_RATE": "0", "ROLLTAPE_LOG_LEVEL": "warning"}
PATIENCE_SEC = 60.0
NODES = 2


class Node:
    """A server process; the fleet reaches it by the link `web`, and it reaches PostgreSQL by the link `base`."""

    def __init__(self, number: int, folder: Path, links: LinkThread, socket: str, schema: str) -> None:
        self.name = "AB"[number]
        self.web: Link = links.open(("127.0.0.1", 1))
        self.base: Link = links.open(socket)
        self._data = folder / "data"
        database = (
            f"postgresql://postgres@127.0.0.1:{self.base.port}/postgres?sslmode=disable&search_path={quote(schema)}"
        )
        self._env = {**SETTINGS, "ROLLTAPE_DATABASE": database}
        self._process: ServerProcess | None = None
        self.program: Sequence[str] = CLI

    @property
    def url(self) -> str:
        """Where the fleet finds it, dead or alive."""
        return f"http://127.0.0.1:{self.web.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.process.pid

    def start(self) -> None:
        """Starts it; comes back when it serves. While there is no database it fails, and is started again."""
        deadline = time.monotonic() + PATIENCE_SEC
        while True:
            try:
                self._process = start_program(self.program, self._data, 0, env=self._env)
                break
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
        self.web.target = ("127.0.0.1", int(self._process.url.rsplit(":", 1)[1]))

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        return self._process.stop()

    def signal(self, signum: signal.Signals) -> None:
        """Sends it a signal."""
        assert self._process is not None
        self._process.process.send_signal(signum)

    def is_ready(self) -> bool:
        """Whether it serves, by its link."""
        with (
            suppress(OSError, http.client.HTTPException),
            urllib.request.urlopen(f"{self.url}/ready", timeout=2) as answer,
        ):
            return bool(answer.status == 200)
        return False


class Place:
    """Everything. A context manager: all is ended with it."""

    def __init__(self, folder: Path, database: PostgresServer, schema: str) -> None:
        self.folder = folder
        self.database = database
        self.url = asyncio.run(database.schema(schema))
        self.links = LinkThread()
        self.nodes = [Node(number, folder, self.links, database.socket, schema) for number in range(NODES)]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(self.links.close)
        try:
            for node in self.nodes:
                self._stack.callback(node.kill)
            with ThreadPoolExecutor(NODES) as pool:
                for started in [pool.submit(node.start) for node in self.nodes]:
                    started.result()
            self.key = make_key(self.folder / "data", ROLLTAPE_DATABASE=self.url)["key"]
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def recover(self) -> None:
        """Comes back when every node serves again. Raises TimeoutError."""
        begun = time.monotonic()
        while not all(node.is_ready() for node in self.nodes):
            if time.monotonic() - begun > PATIENCE_SEC:
                raise TimeoutError("a node did not come back")
            time.sleep(0.02)

    def ask(self, sql: str, *values: Any) -> list[Any]:
        """What the database says, asked past all links."""

        async def asked() -> list[Any]:
            conn = await asyncpg.connect(self.url)
            try:
                found: list[Any] = await conn.fetch(sql, *values)
                return found
            finally:
                await conn.close()

        return asyncio.run(asked())
