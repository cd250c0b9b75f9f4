"""From SQLite to PostgreSQL as an operator does it: stop, move (killed once on the way), start; nobody notices."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from rolltape import Client
from rolltape.clock import SystemClock
from rolltape.config import Settings
from rolltape.testing.process import make_key, start_server
from rolltape.testing.recorder import FakeRecorder
from rolltape.wiring.databases import open_db
from tests.conformance.moving import rows
from tests.e2e.test_recorder_server import until
from tests.e2e.test_two_nodes import call
from tests.postgres import server

CLOCK = SystemClock()
MOVE = (sys.executable, "-m", "rolltape.cli.main", "migrate-store")


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The URL of a database that has the schema, and nothing else."""

    async def made() -> str:
        url = await server().schema(f"move_{tmp_path.name[-20:]}")
        async with open_db(Settings(database=url)):
            return url

    return asyncio.run(made())


@contextmanager
def held_back(url: str, table: str) -> Iterator[None]:
    """Whoever writes into that table waits."""
    done, locked = threading.Event(), threading.Event()

    async def hold() -> None:
        conn = await asyncpg.connect(url)
        async with conn.transaction():
            await conn.execute(f"LOCK TABLE {table} IN SHARE MODE")
            locked.set()
            await asyncio.to_thread(done.wait)
        await conn.close()

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    assert locked.wait(20)
    try:
        yield
    finally:
        done.set()
        thread.join(20)


def killed_half_way(data: Path, url: str) -> None:
    """Begins to move, and is killed as it comes to the commands; what was copied before stays."""
    with held_back(url, "commands"):
        process = subprocess.Popen([*MOVE, "--data", str(data)], env=os.environ | {"ROLLTAPE_DATABASE": url})
        until = CLOCK.monotonic() + 20
        while not rows(url, "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'commands'::regclass"):
            assert process.poll() is None, "it ended by itself"
            assert CLOCK.monotonic() < until, "it never came to the commands"
        process.kill()
        process.wait(20)
    assert rows(url, "SELECT 1 FROM devices")
    assert not rows(url, "SELECT 1 FROM commands")


def moved(data: Path, url: str) -> dict[str, Any]:
    """Moves it to the end; what the command prints."""
    ended = subprocess.run(
        [*MOVE, "--data", str(data), "--json"],
        env=os.environ | {"ROLLTAPE_DATABASE": url},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def test_a_server_moves_and_its_devices_backends_and_relays_go_on(tmp_path: Path, database: str) -> None:
    data, state = tmp_path / "data", tmp_path / "state"
    before = start_server(data)
    key = make_key(data)["key"]
    port = urlsplit(before.url).port
    assert port is not None
    try:
        with Client(before.url, key) as client:
            user = client.end_users.create("anna")
            device = client.devices.bind(client.devices.register("SN-1").id, user.id)
            relay = client.relay_tokens.create(user.id).relay_token
            with FakeRecorder(before.url, device.device_token, state):
                first = client.devices.start_recording(device.id, max_duration_sec=1, wait=20)
                assert first.result is not None
                until(lambda: list(client.recordings.list(command_id=first.id)), "known to the server")
                recording = client.recordings.wait(first.result["recording_id"], timeout=20)
            told = call(before, "GET", "/v1/relay/commands", relay)[1]
            waiting = client.devices.start_recording(device.id, max_duration_sec=1, idempotency_key="visit-1")
            cancelled = client.commands.cancel(device.id, client.commands.create(device.id, "trigger_upload").id)
        assert before.stop() == 0
        killed_half_way(data, database)
        with pytest.raises(RuntimeError, match="isn't finished"):
            start_server(data)
        with pytest.raises(RuntimeError, match="isn't finished"):
            start_server(data, ROLLTAPE_DATABASE=database)
        assert moved(data, database)["tables"]["commands"]["rows"] == 3
        with pytest.raises(RuntimeError, match="set ROLLTAPE_DATABASE"):
            start_server(data)
        after = start_server(data, port, ROLLTAPE_DATABASE=database)
    finally:
        before.kill()
    try:
        with Client(after.url, key) as client:
            news = call(after, "GET", f"/v1/relay/commands?cursor={told['cursor']}", relay)[1]
            assert [offer["id"] for offer in news["commands"]] == [waiting.id]
            assert [offer["seq"] for offer in news["commands"]] == [2]
            again = client.devices.start_recording(device.id, max_duration_sec=1, idempotency_key="visit-1")
            assert (again.id, again.grant_token) == (waiting.id, waiting.grant_token)
            with FakeRecorder(after.url, device.device_token, state):
                done = client.commands.wait(device.id, waiting.id, timeout=20)
                assert done.status == "executed", done.error
                until(
                    lambda: [r.status for r in client.recordings.list(command_id=waiting.id)] == ["uploaded"], "its end"
                )
                newest = client.devices.start_recording(device.id, max_duration_sec=1, wait=20)
                assert newest.status == "executed", newest.error
            assert client.commands.get(device.id, cancelled.id).status == "cancelled"
            assert [event.type for event in client.commands.history(device.id, first.id)][-1] == "command.executed"
            path = client.recordings.download(recording.id, tmp_path / "again.ogg")
            assert sha256(Path(path).read_bytes()).hexdigest() == recording.content_sha256
        assert rows(database, "SELECT seq FROM commands ORDER BY n") == [(1,), (2,), (3,), (4,)]
        assert after.stop() == 0
    finally:
        after.kill()
