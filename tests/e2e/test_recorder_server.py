"""The recorder against the server itself: the whole way, and what only the two together can get wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from rolltape import Client
from rolltape.clock import SystemClock
from rolltape.codes import Failure
from rolltape.recorder.journal import Journal
from rolltape.recorder.parts import failed
from rolltape.testing.process import make_key, running_server
from rolltape.testing.recorder import FakeRecorder
from rolltape.wire.device import BoundDevice

CLOCK = SystemClock()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    data = tmp_path_factory.mktemp("server") / "data"
    with running_server(data) as server, Client(server.url, make_key(data)["key"]) as connected:
        yield connected


def bound(client: Client, name: str) -> BoundDevice:
    """A device of its own for a test."""
    device = client.devices.register(name)
    return client.devices.bind(device.id, client.end_users.create(name).id)


def recorder_of(client: Client, device: BoundDevice, folder: Path) -> FakeRecorder:
    return FakeRecorder(client.url, device.device_token, folder / "state")


def until(holds: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Ask until it holds."""
    end = CLOCK.monotonic() + seconds
    while not holds():
        assert CLOCK.monotonic() < end, f"in vain: {what}"
        Event().wait(0.1)


def test_a_command_that_waited_for_the_first_power_up_is_obeyed(client: Client, tmp_path: Path) -> None:
    device = bound(client, "waits")
    sent = client.devices.start_recording(device.id, max_duration_sec=1, metadata={"room": 7})
    with recorder_of(client, device, tmp_path):
        done = client.commands.wait(device.id, sent.id, timeout=20)
        assert done.status == "executed", done.error
        assert done.result is not None
        recording = client.recordings.wait(done.result["recording_id"], timeout=20)
    assert (recording.status, recording.duration_ms, recording.metadata) == ("uploaded", 1000, {"room": 7})
    assert recording.command_id == sent.id


def test_start_and_stop_answer_within_their_wait(client: Client, tmp_path: Path) -> None:
    device = bound(client, "quick")
    with recorder_of(client, device, tmp_path) as recorder:
        until(lambda: client.devices.get(device.id).online, "online")
        assert client.devices.start_recording(device.id, wait=20).status == "executed"
        until(lambda: client.devices.state(device.id).recording.active, "seen recording")
        assert client.devices.stop_recording(device.id, wait=20).status == "executed"
        until(lambda: client.devices.state(device.id).recording.active is False, "seen idle")
        assert recorder.press("status")["recording"] is None


def test_a_recording_by_hand_belongs_to_the_device(client: Client, tmp_path: Path) -> None:
    device = bound(client, "by-hand")
    with recorder_of(client, device, tmp_path) as recorder:
        recording = recorder.press("start")["recording_id"]
        recorder.press("stop")
        until(lambda: any(r.id == recording for r in client.recordings.list(device_id=device.id)), "known")
        done = client.recordings.wait(recording, timeout=20)
    assert (done.status, done.command_id, done.end_user_id) == ("uploaded", None, device.end_user_id)


def test_a_lost_replay_record_gets_a_floor_from_the_server(client: Client, tmp_path: Path) -> None:
    device = bound(client, "forgetful")
    with recorder_of(client, device, tmp_path):
        assert client.devices.start_recording(device.id, max_duration_sec=1, wait=20).status == "executed"
    (tmp_path / "state" / "replay").unlink()
    waiting = client.devices.start_recording(device.id)
    with recorder_of(client, device, tmp_path) as recorder:
        refused = client.commands.wait(device.id, waiting.id, timeout=20)
        assert refused.error is not None
        assert refused.error.code in {"replay_state_lost", "grant_replayed"}
        until(lambda: not recorder.press("status")["replay_state_lost"], "the floor")
        again = client.devices.start_recording(device.id, max_duration_sec=1, wait=20)
        assert again.status == "executed", again.error


def test_an_unbind_by_force_ends_the_recording_and_its_sound_still_arrives(client: Client, tmp_path: Path) -> None:
    device = bound(client, "leaves")
    with recorder_of(client, device, tmp_path) as recorder:
        start = client.devices.start_recording(device.id, wait=20)
        assert start.result is not None
        client.devices.unbind(device.id, force=True)
        until(lambda: recorder.press("status")["token_ended"], "the end of the token")
        until(lambda: recorder.press("status")["recording"] is None, "the end of the recording")
        assert client.recordings.wait(start.result["recording_id"], timeout=20).status == "uploaded"


def test_a_report_that_was_not_sent_before_the_device_was_bound_anew_still_lands(
    client: Client, tmp_path: Path
) -> None:
    device = bound(client, "late")
    with recorder_of(client, device, tmp_path) as recorder:
        recorder.stop()
    stop = client.devices.stop_recording(device.id)
    journal = Journal(tmp_path / "state" / "journal")
    journal.end(stop.id, failed(Failure.NOT_RECORDING, "nothing is being recorded"))
    journal.close()
    assert device.end_user_id is not None
    client.devices.unbind(device.id, force=True)
    again = client.devices.bind(device.id, device.end_user_id)
    with recorder_of(client, again, tmp_path) as recorder:
        until(lambda: client.commands.get(device.id, stop.id).status == "failed", "the report")
        until(lambda: recorder.press("status")["pending_reports"] == 0, "told")


def test_a_factory_reset_unbinds_and_wipes(client: Client, tmp_path: Path) -> None:
    device = bound(client, "reset")
    recorder = recorder_of(client, device, tmp_path).start()
    until(lambda: client.devices.get(device.id).online, "online")
    client.devices.reset(device.id)
    recorder.join()
    until(lambda: client.devices.get(device.id).status == "unbound", "unbound")
    assert {path.name for path in (tmp_path / "state").iterdir()} <= {"lock"}


def test_a_refreshed_token_goes_on(client: Client, tmp_path: Path) -> None:
    device = bound(client, "fresh")
    recorder = FakeRecorder(client.url, device.device_token, tmp_path / "state", refresh_token=True)
    with recorder:
        until(lambda: recorder.ask(lambda parts: parts.identity.tokens()) != [device.device_token], "a fresh token")
        until(lambda: recorder.ask(lambda parts: parts.identity.known.next_token) is None, "it worked")
        assert client.devices.start_recording(device.id, max_duration_sec=1, wait=20).status == "executed"
