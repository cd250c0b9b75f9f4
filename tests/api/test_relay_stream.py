"""A relay's stream: told as it happens, taken up where it was cut off, and ended when it should be."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from rolltape.testing.process import make_key, running_server
from rolltape.web import pipeline
from tests.api.contract_world import ContractWorld, open_contract
from tests.api.relay_stream_world import blocks, open_stream
from tests.api.relay_world import Relayed, relay_token, relayed


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web")) as world:
        yield world


@pytest.fixture
def plain(world: ContractWorld) -> Relayed:
    return relayed(world)


def cancel(of: Relayed, command: str) -> None:
    assert of.world.call("DELETE", f"{of.device.path}/commands/{command}").status_code == 200


def test_first_comes_what_waits_then_each_thing_as_it_happens(plain: Relayed) -> None:
    first = plain.device.command("trigger_upload")["id"]
    second = plain.device.command("trigger_upload")["id"]
    with open_stream(plain) as stream:
        assert stream.answer.headers["content-type"] == "text/event-stream"
        assert stream.answer.headers["cache-control"] == "no-store"
        before = stream.batch()
        assert [(event.name, event.about) for event in before] == [("offer", first), ("offer", second)]
        assert [event.id is None for event in before] == [True, False]
        assert set(before[0].data) == set(plain.commands()["commands"][0])
        cancel(plain, first)
        revoked = stream.event()
        assert (revoked.name, revoked.data) == ("revoke", {"id": first})
        third = plain.device.command()["id"]
        while (event := stream.event()).about != third:
            assert event.about == second
        assert event.name == "offer"


def test_a_stream_goes_on_where_it_was_cut_off(plain: Relayed) -> None:
    command = plain.device.command()["id"]
    with open_stream(plain) as stream:
        seen = stream.batch()[-1].id
    with open_stream(plain, seen) as stream:
        assert stream.batch() == []
    cancel(plain, command)
    fresh = plain.device.command("trigger_upload")["id"]
    with open_stream(plain, seen) as stream:
        told = stream.batch()
        assert [(event.name, event.about) for event in told] == [("revoke", command), ("offer", fresh)]
    with open_stream(plain, told[-1].id) as stream:
        assert stream.batch() == []


def test_a_batch_that_was_cut_off_in_its_middle_comes_again_as_a_whole(plain: Relayed) -> None:
    ids = [plain.device.command("trigger_upload")["id"] for _ in range(3)]
    with open_stream(plain) as stream:
        first = stream.event()
        assert (first.about, first.id) == (ids[0], None)  # a browser would send no Last-Event-ID now
    with open_stream(plain) as stream:
        assert [event.about for event in stream.batch()] == ids


def test_a_poll_and_a_stream_share_their_cursors(plain: Relayed) -> None:
    plain.device.command()
    cursor = plain.commands()["cursor"]
    with open_stream(plain, cursor) as stream:
        assert stream.batch() == []
        fresh = plain.device.command("trigger_upload")["id"]
        events = [stream.event() for _ in range(2)]
        assert fresh in [event.about for event in events]
    assert plain.commands(f"?cursor={events[-1].id}")["commands"] == []


def test_a_quiet_stream_says_so_every_fifteen_seconds(world: ContractWorld, plain: Relayed) -> None:
    with open_stream(plain) as stream:
        stream.batch()
        for _ in range(3):
            world.until_waits(plain.device.user, 0)
            world.pass_time(15)
            assert stream.batch() == []


def test_fresh_grants_come_on_the_stream_before_the_old_ones_end(world: ContractWorld, plain: Relayed) -> None:
    command = plain.device.command(ttl_seconds=3600)["id"]
    with open_stream(plain) as stream:
        assert [event.about for event in stream.batch()] == [command]
        world.until_waits(plain.device.user, 0)
        world.pass_time(300.1)
        again = stream.event()
        assert (again.name, again.about) == ("offer", command)


def test_a_third_stream_ends_the_oldest(plain: Relayed) -> None:
    with open_stream(plain) as first, open_stream(plain) as second:
        for stream in (first, second):
            stream.batch()
        with open_stream(plain) as third:
            third.batch()
            assert first.rest() == []
            command = plain.device.command()["id"]
            assert [second.event().about, third.event().about] == [command] * 2


def test_streams_and_polls_of_another_token_are_counted_apart(plain: Relayed) -> None:
    other = Relayed(plain.device, None, relay_token(plain.world, plain.device.user))
    with open_stream(plain) as first, open_stream(other) as second, open_stream(other) as third:
        for stream in (first, second, third):
            stream.batch()
        assert plain.commands()["commands"] == []
        command = plain.device.command()["id"]
        assert first.event().about == command


def test_a_stream_ends_when_its_token_is_revoked(plain: Relayed) -> None:
    with open_stream(plain) as stream:
        stream.batch()
        assert plain.world.call("DELETE", f"/v1/relay-tokens?end_user_id={plain.device.user}").status_code == 204
        plain.device.command()
        assert stream.rest() == []


def test_a_stream_ends_when_the_time_of_its_token_is_over(world: ContractWorld, plain: Relayed) -> None:
    plain.token = relay_token(world, plain.device.user, ttl_seconds=60)
    with open_stream(plain) as stream:
        stream.batch()
        world.pass_time(60)
        plain.device.command()
        assert [block for block in stream.rest() if "event" in block] == []


def test_a_stream_ends_when_its_end_user_is_deleted(plain: Relayed) -> None:
    plain.device.command()
    with open_stream(plain) as stream:
        stream.batch()
        assert plain.world.call("DELETE", f"/v1/end-users/{plain.device.user}").status_code == 204
        assert all(block.get("event") in (None, "revoke") for block in stream.rest())


def test_a_device_that_is_given_away_is_told_of_no_more(plain: Relayed) -> None:
    with open_stream(plain) as stream:
        stream.batch()
        plain.device.unbind(force=True)
        mine = plain.device.user
        plain.device.user = plain.world.web.made("/v1/end-users", external_id=mine)["id"]
        plain.device.bind()
        plain.device.command()
        other = plain.world.device()
        other.unbind(force=True)
        other.user = mine
        other.bind()
        command = other.command()["id"]
        assert stream.event().about == command


def test_a_stream_can_only_be_read(plain: Relayed) -> None:
    for method in ("HEAD", "POST"):
        answer = plain.world.web.http.request(method, plain.world.web.base_url + "/v1/relay/stream")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_a_reader_that_goes_away_leaves_nothing_behind(world: ContractWorld, plain: Relayed) -> None:
    parts = urlsplit(world.web.base_url)
    held = world.web.web.held
    for _ in range(2):
        with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=20) as connection:
            connection.sendall(
                f"GET /v1/relay/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {plain.token}\r\n\r\n".encode()
            )
            assert connection.recv(1024).startswith(b"HTTP/1.1 200")
    while world.web.web.held > held or world.web.app.wakeups.anyone(plain.device.id):
        pass
    assert plain.commands()["commands"] == []


def test_a_reader_that_reads_nothing_is_let_go_of(plain: Relayed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "SEND_SECONDS", 0.01)
    web = plain.world.web
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    path = "/v1/relay/stream"
    headers = [(b"authorization", f"Bearer {plain.token}".encode())]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers, "scheme": "http"}
    held = web.web.held
    web.run(web.web(scope, receive, send))
    assert sent == ["http.response.start", "http.response.body"]
    assert web.web.held == held


def test_a_server_that_ends_ends_its_streams_and_loses_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        key = make_key(data)["key"]
        with httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=20) as http:
            device = http.post("/v1/devices", json={"serial_number": "SN-1"}).json()["id"]
            user = http.post("/v1/end-users", json={"external_id": "mine"}).json()["id"]
            http.post(f"/v1/devices/{device}/bind", json={"end_user_id": user})
            command = http.post(f"/v1/devices/{device}/commands", json={"type": "start_recording"}).json()["id"]
            token = http.post("/v1/relay-tokens", json={"end_user_id": user}).json()["relay_token"]
        relay = {"Authorization": f"Bearer {token}"}
        with httpx2.stream("GET", f"{server.url}/v1/relay/stream", headers=relay, timeout=20) as answer:
            told = blocks(answer)
            offer = next(block for block in told if "event" in block)
            assert command in offer["data"]
            assert server.stop() == 0
            assert [block for block in told if "event" in block] == []
    with running_server(data) as server:
        relay["Last-Event-ID"] = offer["id"]
        with httpx2.stream("GET", f"{server.url}/v1/relay/stream", headers=relay, timeout=20) as answer:
            assert next(block for block in blocks(answer) if "retry" not in block) == {"": ""}
