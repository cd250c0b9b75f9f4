"""`kill -9` while 32 callers create 10,000 commands: whatever a caller heard was accepted is there afterwards, once."""

import http.client
import json
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rolltape.store.sqlite.database import connect
from rolltape.testing.process import ServerProcess, make_key, start_server

CALLERS = 32
CREATES = 10_000
DEVICES = 128
KILLS = 4
SETTINGS = {"ROLLTAPE_KEY_RATE": "0", "ROLLTAPE_LOG_LEVEL": "error"}
GONE = (OSError, http.client.HTTPException)
"""What a caller sees when the server dies: nothing that tells whether it was done."""


@dataclass
class Caller:
    """One connection, kept open as long as the server lives."""

    port: int
    key: str
    _conn: http.client.HTTPConnection | None = None

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status code and decoded body. Raises one of GONE."""
        if self._conn is None:
            self._conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **(headers or {})}
        try:
            self._conn.request(method, path, None if body is None else json.dumps(body), sent)
            answer = self._conn.getresponse()
            return answer.status, json.loads(answer.read())
        except GONE:
            self.close()
            raise

    def close(self) -> None:
        """Lets go of the connection."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None


@dataclass
class Ledger:
    """What the callers heard: the id for each idempotency key, and how many so far."""

    up: threading.Event = field(default_factory=threading.Event)
    heard: dict[tuple[str, str], str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    _lock: threading.Condition = field(default_factory=threading.Condition)

    def note(self, device: str, key: str, status: int, command_id: str) -> None:
        """One answer."""
        with self._lock:
            self.heard[device, key] = command_id
            self.statuses[status] += 1
            self._lock.notify_all()

    def wait_for(self, count: int) -> None:
        """Comes back once that many have been heard."""
        with self._lock:
            assert self._lock.wait_for(lambda: len(self.heard) >= count, timeout=120)


def _create(caller: Caller, device: str, key: str, ledger: Ledger) -> None:
    """One command, tried with the same key until an answer comes."""
    body = {"type": "start_recording", "ttl_seconds": 604_800}
    while True:
        assert ledger.up.wait(60)
        try:
            status, answer = caller.call("POST", f"/v1/devices/{device}/commands", body, {"Idempotency-Key": key})
        except GONE:
            continue
        assert status in (200, 201, 503), answer
        if status != 503:
            ledger.note(device, key, status, answer["id"])
            return


def _calling(caller: Caller, work: list[tuple[str, str]], ledger: Ledger) -> None:
    for device, key in work:
        _create(caller, device, key, ledger)
    caller.close()


def _bound_devices(caller: Caller) -> list[str]:
    user = caller.call("POST", "/v1/end-users", {"external_id": "somebody"})[1]["id"]
    devices = []
    for n in range(DEVICES):
        device = caller.call("POST", "/v1/devices", {"serial_number": f"serial-{n}"})[1]["id"]
        assert caller.call("POST", f"/v1/devices/{device}/bind", {"end_user_id": user})[0] == 200
        devices.append(device)
    return devices


def _kill_and_start(server: ServerProcess, ledger: Ledger, port: int) -> ServerProcess:
    ledger.up.clear()
    server.kill()
    fresh = start_server(server.data, port, **SETTINGS)
    ledger.up.set()
    return fresh


def _run(server: ServerProcess, port: int, key: str, devices: list[str], ledger: Ledger) -> ServerProcess:
    """All creates, with the server killed at seeded moments in between; the server that is up at the end."""
    chance = random.Random(20)
    moments = sorted(chance.sample(range(CREATES // 20, CREATES * 19 // 20), KILLS))
    work = [(devices[n % DEVICES], f"key-{n}") for n in range(CREATES)]
    ledger.up.set()
    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(_calling, Caller(port, key), work[n::CALLERS], ledger) for n in range(CALLERS)]
        for moment in moments:
            ledger.wait_for(moment)
            server = _kill_and_start(server, ledger, port)
        for caller in callers:
            caller.result(120)
    return server


def test_every_command_that_a_caller_saw_accepted_survives_kill_9_and_is_there_once(tmp_path: Path) -> None:
    data, ledger = tmp_path / "data", Ledger()
    key = make_key(data)["key"]
    server = start_server(data, 0, **SETTINGS)
    try:
        port = urlsplit(server.url).port
        assert port is not None
        caller = Caller(port, key)
        devices = _bound_devices(caller)
        caller.close()
        server = _run(server, port, key, devices, ledger)
        server = _kill_and_start(server, ledger, port)
        _readers_see_each_once(caller, devices, ledger)
        _a_key_still_means_its_command(caller, ledger)
        caller.close()
    finally:
        if server.process.poll() is None:
            server.kill()
    assert len(ledger.heard) == CREATES
    assert ledger.statuses[201] > CREATES * 0.9
    _database_holds_each_once(data, ledger)


def _readers_see_each_once(caller: Caller, devices: list[str], ledger: Ledger) -> None:
    for device in devices:
        status, page = caller.call("GET", f"/v1/devices/{device}/commands?limit=100")
        assert (status, page["has_more"]) == (200, False)
        assert sorted(c["id"] for c in page["data"]) == sorted(i for (d, _), i in ledger.heard.items() if d == device)
        assert {c["status"] for c in page["data"]} == {"pending"}


def _a_key_still_means_its_command(caller: Caller, ledger: Ledger) -> None:
    body = {"type": "start_recording", "ttl_seconds": 604_800}
    for (device, key), command_id in list(ledger.heard.items())[::50]:
        status, answer = caller.call("POST", f"/v1/devices/{device}/commands", body, {"Idempotency-Key": key})
        assert (status, answer["id"]) == (200, command_id)


def _database_holds_each_once(data: Path, ledger: Ledger) -> None:
    db = connect(data)
    try:
        assert db.first("PRAGMA integrity_check") == ("ok",)
        kept = {
            (device, key): id_ for device, key, id_ in db.rows("SELECT device_id, idempotency_key, id FROM commands")
        }
        assert kept == ledger.heard
        assert db.first("SELECT count(*) FROM commands") == (CREATES,)
        assert db.first("SELECT count(*) FROM (SELECT DISTINCT device_id, seq FROM commands)") == (CREATES,)
        told = db.rows("SELECT command_id FROM events WHERE type = 'command.created'")
        assert sorted(id_ for (id_,) in told) == sorted(ledger.heard.values())
    finally:
        db.conn.close()
