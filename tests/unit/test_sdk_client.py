"""Both clients over real HTTP: each call sends what the API wants and reads what it answers."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import rolltape
from rolltape.clock import SystemClock
from rolltape.sdk.client import AsyncClient, Client
from tests.unit.sdk_server import (
    AT,
    BOUND,
    COMMAND,
    DEVICE,
    END_USER,
    EVENT,
    HANG_UP,
    KEY,
    KEY_TEXT,
    PLACE,
    RECORDING,
    RELAY_TOKEN,
    STATE,
    STATS,
    Reply,
    ScriptedServer,
    as_json,
    error,
    page,
    scripted_server,
)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


Row = tuple[Callable[[Any], Any], str, str, Any, Any]
D, C, E, R, K = "devices", "commands", "end_users", "recordings", "keys"
UP = {**PLACE, "upload_url": "http://x/u", "headers": {}}
DOWN = {**PLACE, "download_url": "http://x/d", "file_size_bytes": 1}
NEW_KEY = {**KEY, "key": "sk_test_x"}
CALLS: dict[str, Row] = {
    "register": (
        lambda c: c.devices.register("SN-1", model="M", connection=["wifi"]),
        "POST",
        "/v1/devices",
        {"serial_number": "SN-1", "model": "M", "connection": ["wifi"]},
        DEVICE,
    ),
    "get": (lambda c: c.devices.get("dev_1"), "GET", "/v1/devices/dev_1", None, DEVICE),
    "update": (
        lambda c: c.devices.update("dev_1", name=None, settings={"heartbeat_sec": 10}),
        "PATCH",
        "/v1/devices/dev_1",
        {"name": None, "settings": {"heartbeat_sec": 10}},
        DEVICE,
    ),
    "delete": (lambda c: c.devices.delete("dev_1", force=True), "DELETE", "/v1/devices/dev_1?force=true", None, None),
    "bind": (
        lambda c: c.devices.bind("dev_1", "eu_1"),
        "POST",
        "/v1/devices/dev_1/bind",
        {"end_user_id": "eu_1"},
        BOUND,
    ),
    "unbind": (lambda c: c.devices.unbind("dev_1"), "POST", "/v1/devices/dev_1/unbind", {}, DEVICE),
    "reset": (lambda c: c.devices.reset("dev_1"), "POST", "/v1/devices/dev_1/reset", {}, COMMAND),
    "forced reset": (
        lambda c: c.devices.reset("dev_1", force=True),
        "POST",
        "/v1/devices/dev_1/reset",
        {"force": True},
        DEVICE,
    ),
    "state": (lambda c: c.devices.state("dev_1"), "GET", "/v1/devices/dev_1/state", None, STATE),
    "stats": (lambda c: c.devices.stats(), "GET", "/v1/devices/stats", None, STATS),
    "page": (
        lambda c: c.devices.page(online=True, limit=5, cursor="abc"),
        "GET",
        "/v1/devices?online=true&limit=5&cursor=abc",
        None,
        page(DEVICE),
    ),
    "start": (
        lambda c: c.devices.start_recording("dev_1", max_duration_sec=9, idempotency_key="k", wait=1.5),
        "POST",
        "/v1/devices/dev_1/commands?wait=1.5",
        {"type": "start_recording", "params": {"max_duration_sec": 9}, "idempotency_key": "k"},
        COMMAND,
    ),
    "stop": (
        lambda c: c.devices.stop_recording("dev_1", idempotency_key="k"),
        "POST",
        "/v1/devices/dev_1/commands",
        {"type": "stop_recording", "idempotency_key": "k"},
        COMMAND,
    ),
    "send": (
        lambda c: c.commands.send("dev_1", "trigger_upload", ttl_seconds=7, idempotency_key="k"),
        "POST",
        "/v1/devices/dev_1/commands",
        {"type": "trigger_upload", "ttl_seconds": 7, "idempotency_key": "k"},
        COMMAND,
    ),
    "command": (
        lambda c: c.commands.get("dev_1", "cmd_1"),
        "GET",
        "/v1/devices/dev_1/commands/cmd_1",
        None,
        COMMAND,
    ),
    "commands": (
        lambda c: c.commands.page("dev_1", status=["pending", "delivered"], type="stop_recording"),
        "GET",
        "/v1/devices/dev_1/commands?status=pending&status=delivered&type=stop_recording",
        None,
        page(COMMAND),
    ),
    "cancel": (
        lambda c: c.commands.cancel("dev_1", "cmd_1"),
        "DELETE",
        "/v1/devices/dev_1/commands/cmd_1",
        None,
        COMMAND,
    ),
    "create end user": (
        lambda c: c.end_users.create("mine", name="N"),
        "POST",
        "/v1/end-users",
        {"external_id": "mine", "name": "N"},
        END_USER,
    ),
    "end user": (lambda c: c.end_users.get("eu_1"), "GET", "/v1/end-users/eu_1", None, END_USER),
    "end users": (
        lambda c: c.end_users.page(external_id="a/b&c"),
        "GET",
        "/v1/end-users?external_id=a/b%26c",
        None,
        page(END_USER),
    ),
    "delete end user": (lambda c: c.end_users.delete("eu_1"), "DELETE", "/v1/end-users/eu_1", None, None),
    "create key": (
        lambda c: c.keys.create(scopes=["devices:read"]),
        "POST",
        "/v1/keys",
        {"scopes": ["devices:read"]},
        NEW_KEY,
    ),
    "keys": (lambda c: c.keys.page(limit=1), "GET", "/v1/keys?limit=1", None, page(KEY)),
    "revoke key": (lambda c: c.keys.revoke("key_1"), "DELETE", "/v1/keys/key_1", None, None),
    "relay token": (
        lambda c: c.relay_tokens.create("eu_1", device_ids=["dev_1"], ttl_seconds=60),
        "POST",
        "/v1/relay-tokens",
        {"end_user_id": "eu_1", "device_ids": ["dev_1"], "ttl_seconds": 60},
        RELAY_TOKEN,
    ),
    "revoke relay tokens": (
        lambda c: c.relay_tokens.revoke("eu_1"),
        "DELETE",
        "/v1/relay-tokens?end_user_id=eu_1",
        None,
        None,
    ),
    "create recording": (
        lambda c: c.recordings.create(started_at=AT, device_id="dev_1"),
        "POST",
        "/v1/recordings",
        {"started_at": AT, "device_id": "dev_1"},
        RECORDING,
    ),
    "recording": (lambda c: c.recordings.get("rec_1"), "GET", "/v1/recordings/rec_1", None, RECORDING),
    "recordings": (
        lambda c: c.recordings.page(status="uploaded", command_id="cmd_1"),
        "GET",
        "/v1/recordings?status=uploaded&command_id=cmd_1",
        None,
        page(RECORDING),
    ),
    "delete recording": (lambda c: c.recordings.delete("rec_1"), "DELETE", "/v1/recordings/rec_1", None, None),
    "upload url": (
        lambda c: c.recordings.upload_url("rec_1", "audio/ogg", file_size_bytes=3),
        "POST",
        "/v1/recordings/rec_1/upload-url",
        {"type": "audio", "content_type": "audio/ogg", "file_size_bytes": 3},
        UP,
    ),
    "complete": (
        lambda c: c.recordings.complete("rec_1", duration_ms=5),
        "POST",
        "/v1/recordings/rec_1/upload-complete",
        {"duration_ms": 5},
        RECORDING,
    ),
    "download url": (
        lambda c: c.recordings.download_url("rec_1"),
        "GET",
        "/v1/recordings/rec_1/download-url",
        None,
        DOWN,
    ),
}


def both(server: ScriptedServer, use: Callable[[Any], Any]) -> Iterator[Any]:
    """What `use` answers with each of the two clients."""
    with Client(server.url, KEY_TEXT) as client:
        yield use(client)

    async def with_async() -> Any:
        async with AsyncClient(server.url, KEY_TEXT) as client:
            result = use(client)
            return await result if inspect.isawaitable(result) else [item async for item in result]

    yield asyncio.run(with_async())


@pytest.mark.parametrize("name", CALLS)
def test_a_call_sends_what_the_api_wants_and_reads_what_it_answers(server: ScriptedServer, name: str) -> None:
    use, method, target, body, answer = CALLS[name]
    server.script = lambda _: Reply(204) if answer is None else as_json(answer)
    path, _, query = target.partition("?")
    results = list(both(server, use))
    assert results[0] == results[1]
    assert (results[0] is None) == (answer is None)
    for seen in server.seen:
        assert (seen.method, seen.path) == (method, path)
        assert "&".join(f"{name}={text.replace('&', '%26')}" for name, text in seen.query) == query
        assert seen.headers["authorization"] == f"Bearer {KEY_TEXT}"
        assert (seen.json if seen.body else None) == body
    assert len(server.seen) == 2


def test_both_clients_have_the_same_calls() -> None:
    one, other = Client("http://x", "k"), AsyncClient("http://x", "k")
    for resource in (D, C, E, R, K, "relay_tokens"):
        names = {name for name in dir(getattr(one, resource)) if not name.startswith("_")}
        assert names == {name for name in dir(getattr(other, resource)) if not name.startswith("_")}
        for name in names - {"hands"}:
            method = getattr(getattr(one, resource), name)
            twin = getattr(getattr(other, resource), name)
            assert method.__doc__
            assert inspect.signature(method) == inspect.signature(twin)
    one.close()
    asyncio.run(other.close())


def test_a_list_goes_through_all_pages(server: ScriptedServer) -> None:
    def script(seen: Any) -> Reply:
        at = int(dict(seen.query).get("cursor", "0"))
        last = at == 2
        return as_json(page({**DEVICE, "id": f"dev_{at}"}, cursor=None if last else str(at + 1)))

    server.script = script
    for devices in both(server, lambda c: c.devices.list(status="bound")):
        assert [device.id for device in devices] == ["dev_0", "dev_1", "dev_2"]
    assert all(("status", "bound") in seen.query and ("limit", "100") in seen.query for seen in server.seen)


def test_a_limit_is_for_the_whole_list(server: ScriptedServer) -> None:
    def script(seen: Any) -> Reply:
        asked = int(dict(seen.query)["limit"])
        return as_json(page(*[DEVICE] * asked, cursor="more"))

    server.script = script
    for devices in both(server, lambda c: c.devices.list(limit=150)):
        assert len(list(devices)) == 150
    assert [dict(seen.query)["limit"] for seen in server.seen] == ["100", "50"] * 2


def test_a_list_of_nothing_asks_for_nothing(server: ScriptedServer) -> None:
    assert [list(items) for items in both(server, lambda c: c.devices.list(limit=0))] == [[], []]
    assert server.seen == []


def test_pages_are_fetched_only_when_they_are_needed(server: ScriptedServer) -> None:
    server.script = lambda _: as_json(page(DEVICE, cursor="more"))
    with Client(server.url, KEY_TEXT) as client:
        next(client.devices.list())
    assert len(server.seen) == 1


def test_history_comes_as_events(server: ScriptedServer) -> None:
    server.script = lambda _: as_json(page(EVENT))
    for events in both(server, lambda c: c.commands.history("dev_1", "cmd_1")):
        assert [event.type for event in events] == ["command.created"]


def test_a_broken_connection_is_mended_unseen(server: ScriptedServer) -> None:
    server.replies(HANG_UP, as_json(DEVICE), HANG_UP, as_json(DEVICE))
    assert [device.id for device in both(server, lambda c: c.devices.get("dev_1"))] == ["dev_1", "dev_1"]


def test_a_command_whose_answer_was_lost_is_sent_again_with_the_same_key(server: ScriptedServer) -> None:
    server.replies(HANG_UP, as_json(COMMAND, 201))
    with Client(server.url, KEY_TEXT) as client:
        client.devices.start_recording("dev_1")
    first, second = (seen.json["idempotency_key"] for seen in server.seen)
    assert first == second
    assert len(first) >= 20


def test_an_end_user_whose_answer_was_lost_is_not_made_twice(server: ScriptedServer) -> None:
    server.replies(HANG_UP)
    with Client(server.url, KEY_TEXT) as client, pytest.raises(rolltape.Unreachable) as caught:
        client.end_users.create("mine")
    assert caught.value.may_have_happened
    assert not caught.value.may_retry


def test_errors_come_as_their_class_with_their_facts(server: ScriptedServer) -> None:
    server.script = lambda _: error(409, "device_not_bound")
    with Client(server.url, KEY_TEXT) as client, pytest.raises(rolltape.DeviceNotBound) as caught:
        client.devices.start_recording("dev_1")
    assert isinstance(caught.value, rolltape.Conflict)
    assert (caught.value.status, caught.value.request_id) == (409, "req_1")
    assert not caught.value.may_have_happened


def test_the_async_client_waits_by_its_clock(server: ScriptedServer) -> None:
    slept: list[float] = []

    class Impatient(SystemClock):
        async def sleep(self, seconds: float) -> None:
            slept.append(seconds)

    async def run() -> None:
        async with AsyncClient(server.url, KEY_TEXT, clock=Impatient()) as client:
            await client.devices.get("dev_1")

    server.replies(error(429, "rate_limit_exceeded", Retry_After="30"), as_json(DEVICE))
    asyncio.run(run())
    assert 30 <= slept[0] <= 30.1


def steps_of(*statuses: str) -> list[Reply]:
    return [as_json({**COMMAND, "status": status}) for status in statuses]


def test_a_command_is_watched_until_it_is_terminal(server: ScriptedServer) -> None:
    story = ["pending", "pending", "delivered", "executed"]
    server.replies(*steps_of(*story), *steps_of(*story))
    for commands in both(server, lambda c: c.commands.watch("dev_1", "cmd_1")):
        assert [command.status for command in commands] == ["pending", "delivered", "executed"]


def test_a_watch_ends_in_time_with_the_command_as_it_stands(server: ScriptedServer) -> None:
    server.script = lambda _: as_json(COMMAND)
    with Client(server.url, KEY_TEXT) as client:
        assert [one.status for one in client.commands.watch("dev_1", "cmd_1", timeout=0.3)] == ["pending"]
        assert client.commands.wait("dev_1", "cmd_1", timeout=0).status == "pending"


def test_waiting_answers_the_command_at_its_end(server: ScriptedServer) -> None:
    server.replies(*steps_of("pending", "failed"), *steps_of("pending", "failed"))
    ends = [command.status for command in both(server, lambda c: c.commands.wait("dev_1", "cmd_1"))]
    assert ends == ["failed", "failed"]


def test_waiting_answers_the_recording_once_its_bytes_are_in(server: ScriptedServer) -> None:
    story = [as_json({**RECORDING, "status": name}) for name in ("pending", "uploaded")]
    server.replies(*story, *story)
    assert [one.status for one in both(server, lambda c: c.recordings.wait("rec_1"))] == ["uploaded", "uploaded"]


def test_waiting_for_a_recording_ends_in_time(server: ScriptedServer) -> None:
    server.script = lambda _: as_json({**RECORDING, "status": "pending"})
    with Client(server.url, KEY_TEXT) as client:
        assert client.recordings.wait("rec_1", timeout=0).status == "pending"


def test_an_async_watch_can_be_left_early(server: ScriptedServer) -> None:
    async def first() -> str:
        async with AsyncClient(server.url, KEY_TEXT) as client:
            watching: AsyncIterator[Any] = client.commands.watch("dev_1", "cmd_1")
            found = await anext(watching)
            await watching.aclose()  # type: ignore[attr-defined]
            return str(found.status)

    server.script = lambda _: as_json(COMMAND)
    assert asyncio.run(first()) == "pending"
