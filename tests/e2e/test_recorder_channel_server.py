"""The recorder's live channel against the server itself."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import pytest

from rolltape import Client
from rolltape.clock import SystemClock
from rolltape.testing.process import make_key, running_server, start_server
from rolltape.testing.recorder import FakeRecorder
from rolltape.wire.device import BoundDevice

CLOCK = SystemClock()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    data = tmp_path_factory.mktemp("server") / "data"
    with running_server(data) as server, Client(server.url, make_key(data)["key"]) as connected:
        yield connected


def bound(client: Client, name: str) -> BoundDevice:
    device = client.devices.register(name)
    return client.devices.bind(device.id, client.end_users.create(name).id)


def until(holds: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    end = CLOCK.monotonic() + seconds
    while not holds():
        assert CLOCK.monotonic() < end, f"in vain: {what}"
        Event().wait(0.1)


def is_up(recorder: FakeRecorder) -> bool:
    return bool(recorder.ask(lambda parts: parts.channel.up.is_set()))


def test_a_command_comes_and_is_told_over_the_channel(client: Client, tmp_path: Path) -> None:
    device = bound(client, "live")
    with FakeRecorder(client.url, device.device_token, tmp_path / "state") as recorder:
        until(lambda: is_up(recorder), "the channel")
        until(lambda: client.devices.get(device.id).online, "online")
        done = client.devices.start_recording(device.id, max_duration_sec=1, wait=20)
        assert (done.status, done.delivery.route, done.delivery.evidence) == ("executed", "channel", "device")
        until(lambda: [r.status for r in client.recordings.list(device_id=device.id)] == ["uploaded"], "the recording")
        assert is_up(recorder)


def test_commands_made_while_the_device_was_away_come_as_soon_as_its_channel_is_back(
    client: Client, tmp_path: Path
) -> None:
    device = bound(client, "away")
    with FakeRecorder(client.url, device.device_token, tmp_path / "state") as recorder:
        until(lambda: is_up(recorder), "the channel")
    stops = [client.devices.start_recording(device.id), client.devices.stop_recording(device.id)]
    with recorder:
        ended = [client.commands.wait(device.id, command.id, timeout=20) for command in stops]
    assert [(c.status, c.error and c.error.code) for c in ended] == [
        ("cancelled", "superseded"),
        ("failed", "not_recording"),
    ]
    assert recorder.microphone.opened == 0


def test_of_two_recorders_with_one_token_the_later_has_the_channel_and_the_other_stays_away(
    client: Client, tmp_path: Path
) -> None:
    device = bound(client, "twins")
    slow: dict[str, Any] = {"channel_most_sec": 300.0}
    with FakeRecorder(client.url, device.device_token, tmp_path / "one", **slow) as first:
        until(lambda: is_up(first), "the first one's channel")
        with FakeRecorder(client.url, device.device_token, tmp_path / "two", **slow) as second:
            until(lambda: is_up(second), "the second one's channel")
            until(lambda: first.ask(lambda parts: parts.channel.missing.is_set()), "the first one polls")
            assert is_up(second)


def test_a_server_that_was_killed_finds_its_devices_again_and_nothing_is_lost(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = start_server(data)
    try:
        with Client(server.url, make_key(data)["key"]) as client:
            device = bound(client, "survivor")
            with FakeRecorder(server.url, device.device_token, tmp_path / "state") as recorder:
                until(lambda: is_up(recorder), "the channel")
                start = client.devices.start_recording(device.id, wait=20)
                assert start.status == "executed"
                server.kill()
                until(lambda: not is_up(recorder), "the drop")
                server = start_server(data, urlsplit(server.url).port or 0)
                until(lambda: is_up(recorder), "the channel again")
                stop = client.devices.stop_recording(device.id, wait=20)
                assert (stop.status, stop.delivery.route) == ("executed", "channel")
                uploaded = lambda: [r.status for r in client.recordings.list(device_id=device.id)] == ["uploaded"]  # noqa: E731
                until(uploaded, "the recording")
    finally:
        server.kill()
