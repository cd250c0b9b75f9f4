"""The real server in this process: its web application over a real database, with a clock that the test moves."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2

from rolltape.config import Settings
from rolltape.store.sqlite.database import connect
from rolltape.testing.clock import ManualClock
from rolltape.web.app import build_app
from rolltape.wiring import admin_create_key
from rolltape.wiring.build import close_services, open_services
from rolltape.workers.expiry import Expiry


class World:
    """A server with one API key. `call` is one HTTP request through ASGI."""

    def __init__(self, folder: Path) -> None:
        self.key: str = admin_create_key(folder, "test", None, None, None)["key"]
        self.clock = ManualClock()
        self.runner = asyncio.Runner()
        self.app = self.runner.run(self._open(folder))
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=build_app(self.app)), base_url="http://test")
        self._log = connect(folder, readonly=True)
        self._serial = 0
        self.users = [self.made("/v1/end-users", external_id=f"user-{n}")["id"] for n in range(2)]

    async def _open(self, folder: Path) -> Any:
        return await open_services(Settings(data=folder, key_rate=0, device_rate=0), self.clock)

    def call(self, method: str, path: str, credential: str | None = None, body: Any = None) -> tuple[int, Any]:
        """Status code and decoded body; as the backend unless a credential is given."""
        headers = {"Authorization": f"Bearer {credential or self.key}"}
        answer = self.runner.run(self.http.request(method, path, headers=headers, json=body))
        return answer.status_code, json.loads(answer.content) if answer.content else None

    def made(self, path: str, **body: Any) -> dict[str, Any]:
        """The object that a POST makes."""
        status, made = self.call("POST", path, body=body)
        assert status in (200, 201), made
        answer: dict[str, Any] = made
        return answer

    def new_device(self) -> str:
        """A fresh device's id."""
        self._serial += 1
        device_id: str = self.made("/v1/devices", serial_number=f"serial-{self._serial}")["id"]
        return device_id

    def expire(self) -> None:
        """What the expiry timer does four times a second."""
        self.runner.run(Expiry().run_once(self.app, self.clock.now_ms()))

    def events_after(self, device_id: str, n: int) -> list[tuple[Any, ...]]:
        """The device's command and binding events after position `n`, in their one order."""
        sql = (
            "SELECT n, type, command_id, previous_status FROM events WHERE device_id = ? AND n > ? "
            "AND (type LIKE 'command.%' OR type IN ('device.bound', 'device.unbound')) ORDER BY n"
        )
        return self._log.rows(sql, (device_id, n))

    def __enter__(self) -> "World":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.runner.run(self.http.aclose())
        self._log.conn.close()
        self.runner.run(close_services(self.app))
        self.runner.close()


@contextmanager
def open_world(folder: Path) -> Iterator[World]:
    """A server for the length of a test."""
    with World(folder) as world:
        yield world
