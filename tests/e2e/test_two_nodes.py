"""Two servers as processes of their own on one PostgreSQL, as an operator runs them."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rolltape.testing.process import ServerProcess, start_server
from rolltape.wiring import admin_create_key, admin_doctor, admin_list_keys, admin_revoke_key
from rolltape.wiring.backup import CantBackUp, admin_backup
from tests.api.channel_world import Live
from tests.nats_server import needs_nats, running_nats
from tests.postgres import server

DURABLE = ("fsync", "synchronous_commit")


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty database, as the setting has it."""
    import asyncio

    url = asyncio.run(server().schema(f"nodes_{tmp_path.name[-20:]}"))
    monkeypatch.setenv("ROLLTAPE_DATABASE", url)
    return url


@pytest.fixture
def nodes(tmp_path: Path, database: str) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers that start at the same time, on an empty database and one data folder."""
    found: list[ServerProcess] = []
    with ExitStack() as stack:
        threads = [threading.Thread(target=lambda: found.append(start_server(tmp_path, 0))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for each in found:
            stack.callback(each.stop)
        one, two = found
        yield one, two


def call(node: ServerProcess, method: str, path: str, credential: str, body: Any = None) -> tuple[int, Any]:
    """One request; its status and decoded answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}
    request = urllib.request.Request(node.url + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def bound(node: ServerProcess, key: str) -> tuple[str, str]:
    """A new device's path and token."""
    device = call(node, "POST", "/v1/devices", key, {"serial_number": "s"})[1]["id"]
    user = call(node, "POST", "/v1/end-users", key, {"external_id": "u"})[1]["id"]
    token = call(node, "POST", f"/v1/devices/{device}/bind", key, {"end_user_id": user})[1]["device_token"]
    return f"/v1/devices/{device}", token


def test_what_one_node_creates_wakes_the_device_that_waits_on_the_other(
    tmp_path: Path, nodes: tuple[ServerProcess, ServerProcess]
) -> None:
    one, two = nodes
    key = admin_create_key(tmp_path, "test", None, None, None)["key"]
    path, token = bound(one, key)
    answers: list[Any] = []
    began = time.monotonic()
    wait = threading.Thread(
        target=lambda: answers.append(call(two, "GET", "/v1/devices/me/commands/pending?wait=30", token))
    )
    wait.start()
    threading.Event().wait(
        0.5
    )  # the poll has looked by now, and waits; were it not so, it would see the command anyway
    command = call(one, "POST", f"{path}/commands", key, {"type": "start_recording"})[1]["id"]
    wait.join(30)
    assert [offer["id"] for offer in answers[0][1]["commands"]] == [command]
    assert time.monotonic() - began < 8, "only a look after ten seconds found it: the wake-up did not cross"
    assert call(two, "POST", f"/v1/devices/me/commands/{command}/ack", token)[0] == 200
    assert call(one, "GET", f"{path}/commands/{command}", key)[1]["status"] == "delivered"


@needs_nats
def test_without_its_bus_a_command_comes_seconds_later_and_then_at_once_again(tmp_path: Path, database: str) -> None:
    with running_nats() as nats, ExitStack() as stack:
        one, two = (start_server(tmp_path, 0, ROLLTAPE_NATS=nats.url) for _ in range(2))
        for each in (one, two):
            stack.callback(each.kill)
        key = admin_create_key(tmp_path, "test", None, None, None)["key"]
        path, token = bound(one, key)
        live = Live(two.url, token)
        stack.callback(live.close)
        live.hello()
        for is_cut in (False, True, False):
            if is_cut:
                nats.stop()
            elif not nats.is_running:
                nats.start()
                until_heard(one, path, key, live)
            began = time.monotonic()
            command = call(one, "POST", f"{path}/commands", key, {"type": "trigger_upload"})[1]["id"]
            assert live.answer("offer")["command"]["id"] == command
            assert time.monotonic() - began < 15, "the look of whoever hears nothing comes every three seconds"
            assert live.ack(command)["type"] == "go"
        for each in (one, two):
            assert each.stop() == 0


def until_heard(one: ServerProcess, path: str, key: str, live: Live) -> None:
    """Waits until a wake-up crosses again, at once."""
    for _ in range(20):
        began = time.monotonic()
        command = call(one, "POST", f"{path}/commands", key, {"type": "trigger_upload"})[1]["id"]
        assert live.answer("offer")["command"]["id"] == command
        assert live.ack(command)["type"] == "go"
        if time.monotonic() - began < 0.5:
            return
    raise AssertionError("they never heard of each other again")


def test_a_key_or_a_binding_that_ends_on_one_node_ends_on_the_other_within_a_second(
    tmp_path: Path, nodes: tuple[ServerProcess, ServerProcess]
) -> None:
    one, two = nodes
    made = admin_create_key(tmp_path, "test", None, None, None)
    path, token = bound(one, made["key"])
    assert call(two, "GET", path, made["key"])[0] == 200
    assert call(two, "POST", "/v1/devices/me/heartbeat", token, {})[0] == 200
    assert call(one, "POST", f"{path}/unbind", made["key"], {"force": True})[0] == 200
    assert admin_revoke_key(tmp_path, made["id"])
    threading.Event().wait(1.0)
    assert call(two, "GET", path, made["key"])[0] == 401
    assert call(two, "POST", "/v1/devices/me/heartbeat", token, {})[0] == 401


def test_one_node_is_killed_and_the_other_goes_on(tmp_path: Path, nodes: tuple[ServerProcess, ServerProcess]) -> None:
    one, two = nodes
    key = admin_create_key(tmp_path, "test", None, None, None)["key"]
    path, token = bound(one, key)
    command = call(one, "POST", f"{path}/commands", key, {"type": "start_recording"})[1]["id"]
    one.process.kill()
    one.process.wait(10)
    beat = call(two, "POST", "/v1/devices/me/heartbeat", token, {})[1]
    assert [offer["id"] for offer in beat["commands"]] == [command]


def test_the_commands_of_an_operator_work_on_it(tmp_path: Path, database: str) -> None:
    made = admin_create_key(tmp_path, "test", None, "mine", None)
    assert [key["id"] for key in admin_list_keys(tmp_path)] == [made["id"]]
    with pytest.raises(CantBackUp, match="pg_dump"):
        admin_backup(tmp_path, tmp_path / "backup.tar")
    found = admin_doctor(tmp_path, {"ROLLTAPE_DATABASE": database})
    assert any("PostgreSQL 1" in one.what and one.level == "ok" for one in found)
    assert [one.what for one in found if one.level == "warning" and "fsync" in one.what]
    assert [one.level for one in found if "master key" in one.what] == ["error"]


def test_a_doctor_says_when_there_is_no_postgres(tmp_path: Path) -> None:
    found = admin_doctor(tmp_path, {"ROLLTAPE_DATABASE": "postgresql://nobody@127.0.0.1:1/none"})
    assert any(one.level == "error" and "can't be reached" in one.what for one in found)
