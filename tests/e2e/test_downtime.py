"""Time goes on while the server is down: no read ever shows an open command past its `expires_at`."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rolltape.clock import SystemClock
from rolltape.config import Settings
from rolltape.service.context import Services
from rolltape.store.sqlite.database import connect, transaction
from rolltape.testing.clock import NOON_MS, ManualClock
from rolltape.testing.process import ServerProcess, make_key, running_server
from rolltape.web.app import build_app
from rolltape.wire.times import parse
from rolltape.wiring import admin_create_key
from rolltape.wiring.build import close_services, open_services

HOUR_MS = 3_600_000
READS = ("get", "list", "list by status", "stats", "history", "wait")


class Backend:
    """A customer's backend that talks to a server over `http`."""

    def __init__(self, http: httpx2.AsyncClient, key: str) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {key}"}

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer of a call that must be good."""
        answer = await self._http.request(method, path, headers=self._headers, json=body)
        assert answer.status_code < 300, answer.text
        return json.loads(answer.content)

    async def two_commands(self, ttl: int) -> tuple[str, str, str]:
        """A bound device with a pending and a delivered command: their ids."""
        device = (await self.call("POST", "/v1/devices", {"serial_number": "one"}))["id"]
        user = (await self.call("POST", "/v1/end-users", {"external_id": "somebody"}))["id"]
        await self.call("POST", f"/v1/devices/{device}/bind", {"end_user_id": user})
        made = []
        for _ in range(2):
            body = {"type": "start_recording", "ttl_seconds": ttl}
            made.append((await self.call("POST", f"/v1/devices/{device}/commands", body))["id"])
        await self.call("POST", f"/v1/devices/{device}/commands/{made[1]}/ack")
        return device, made[0], made[1]


async def _read(backend: Backend, how: str, device: str, pending: str, delivered: str) -> None:
    """One way of reading, as the first thing that anybody does: nothing is open."""
    at = f"/v1/devices/{device}/commands"
    if how == "get":
        seen = [await backend.call("GET", f"{at}/{id_}") for id_ in (pending, delivered)]
        assert [c["status"] for c in seen] == ["expired", "expired"]
        assert [c["error"] and c["error"]["code"] for c in seen] == [None, "result_not_reported"]
    elif how == "list":
        assert {c["status"] for c in (await backend.call("GET", at))["data"]} == {"expired"}
    elif how == "list by status":
        for status, count in (("pending", 0), ("delivered", 0), ("expired", 2)):
            assert len((await backend.call("GET", f"{at}?status={status}"))["data"]) == count
    elif how == "stats":
        assert (await backend.call("GET", "/v1/devices/stats"))["open_command_count"] == 0
    elif how == "history":
        for id_, before in ((pending, "pending"), (delivered, "delivered")):
            last = (await backend.call("GET", f"{at}/{id_}/events"))["data"][-1]
            assert (last["type"], last["previous_status"]) == ("command.expired", before)
    else:
        body = {"type": "start_recording", "idempotency_key": "again"}
        assert (await backend.call("POST", f"{at}?wait=60", body))["status"] == "expired"


async def _with(data: Path, clock: ManualClock, key: str, use: Callable[[Backend], Any]) -> Any:
    """A server in this process over the data folder, without its timer, for the length of one use."""
    app: Services = await open_services(Settings(data=data, key_rate=0, device_rate=0), clock)
    transport = httpx2.ASGITransport(app=build_app(app))
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
            return await use(Backend(http, key))
    finally:
        await close_services(app)


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("away_ms", [HOUR_MS, 60_000], ids=["an hour", "to the millisecond"])
def test_what_expired_while_the_server_was_down_is_open_in_no_read(tmp_path: Path, how: str, away_ms: int) -> None:
    key = admin_create_key(tmp_path, "test", None, None, None)["key"]

    async def before(backend: Backend) -> tuple[str, str, str]:
        made = await backend.two_commands(60)
        if how == "wait":  # a create that is tried again after the downtime replays this one
            body = {"type": "start_recording", "idempotency_key": "again"}
            await backend.call("POST", f"/v1/devices/{made[0]}/commands", body)
        return made

    made = asyncio.run(_with(tmp_path, ManualClock(), key, before))
    away = max(away_ms, 300_000) if how == "wait" else away_ms
    asyncio.run(_with(tmp_path, ManualClock(NOON_MS + away), key, lambda backend: _read(backend, how, *made)))


def _an_hour_later(data: Path) -> None:
    """As if the server had been down for an hour: all that is open was due a while ago."""
    db = connect(data)
    try:
        with transaction(db):
            past = SystemClock().now_ms() // 1000 * 1000 - HOUR_MS
            db.conn.execute("UPDATE commands SET expires_at = ?", (past,))
    finally:
        db.conn.close()


def _live(server: ServerProcess, key: str, use: Callable[[Backend], Any]) -> Any:
    async def run() -> Any:
        async with httpx2.AsyncClient(base_url=server.url, timeout=30) as http:
            return await use(Backend(http, key))

    return asyncio.run(run())


def test_a_server_that_was_down_for_an_hour_has_expired_all_before_it_answers(tmp_path: Path) -> None:
    data = tmp_path / "data"
    key = make_key(data)["key"]
    with running_server(data) as server:
        made = _live(server, key, lambda backend: backend.two_commands(60))
    _an_hour_later(data)
    with running_server(data):
        db = connect(data, readonly=True)
        assert db.rows("SELECT DISTINCT status FROM commands") == [("expired",)]
        told = db.rows("SELECT command_id, previous_status FROM events WHERE type = 'command.expired' ORDER BY n")
        db.conn.close()
    assert told == [(made[1], "pending"), (made[2], "delivered")]


def test_a_live_server_expires_within_a_second_though_nobody_looks(tmp_path: Path) -> None:
    data = tmp_path / "data"
    key = make_key(data)["key"]
    with running_server(data) as server:
        made = _live(server, key, lambda backend: backend.two_commands(1))
        expires_at, seen_at = asyncio.run(_expired_on_disk(data, made[1:]))
    assert 0 <= seen_at - expires_at < 1000


async def _expired_on_disk(data: Path, ids: tuple[str, ...]) -> tuple[int, int]:
    """When the commands were due, and the time of the later of their events: read from the file, past the server."""
    clock, db = SystemClock(), connect(data, readonly=True)
    deadline = clock.monotonic() + 10
    try:
        while True:
            told = db.rows("SELECT command_id, created_at FROM events WHERE type = 'command.expired'")
            if {id_ for id_, _ in told} == set(ids):
                due = db.first("SELECT min(expires_at) FROM commands")
                assert due is not None
                return due[0], max(at for _, at in told)
            assert clock.monotonic() < deadline, "nothing expired"
            await clock.sleep(0.02)
    finally:
        db.conn.close()


def test_a_wait_ends_when_the_command_expires(tmp_path: Path) -> None:
    data = tmp_path / "data"
    key = make_key(data)["key"]

    async def use(backend: Backend) -> Any:
        device, *_ = await backend.two_commands(60)
        body = {"type": "trigger_upload", "ttl_seconds": 1}
        return await backend.call("POST", f"/v1/devices/{device}/commands?wait=30", body)

    clock = SystemClock()
    with running_server(data) as server:
        began = clock.monotonic()
        command = _live(server, key, use)
        took = clock.monotonic() - began
    assert command["status"] == "expired"
    assert took < 10
    assert parse(command["expires_at"]) <= clock.now_ms()
