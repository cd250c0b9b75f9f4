"""The recorder from end to end: started, stopped, uploaded, by command and by hand."""

from pathlib import Path

import pytest

from rolltape.testing.script_server import ScriptServer
from rolltape.wire.times import parse
from tests.e2e.recorder_rig import peak_hz, recorder_of, recording_of, rig, samples_of, started, stopped


def test_a_recording_is_started_stopped_and_uploaded_with_the_sound_that_was_heard(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, _):
        start = started(server)
        recording = recording_of(start)
        server.wait_until(lambda: (server.heartbeats[-1]["recording"] or {}).get("recording_id") == recording)
        assert server.heartbeats[-1]["recording"]["initiated_by"] == "remote"
        assert server.heartbeats[-1]["device_state"] == "recording"
        stop = stopped(server)
        upload = server.uploaded(recording)
        assert recording_of(stop) == recording
        assert upload.body["command_id"] == start.id
        assert upload.complete is not None
        assert start.result is not None
        assert stop.result is not None
        samples = samples_of(upload.data)
        assert len(samples) // 48 == upload.complete["duration_ms"] == stop.result["duration_ms"]
        elapsed = parse(stop.result["ended_at"]) - parse(start.result["started_at"])
        assert abs(elapsed - stop.result["duration_ms"]) < 1500
        assert abs(peak_hz(samples) - 440) < 3
        server.wait_until(lambda: server.heartbeats[-1]["recording"] is None, "idle again")
        server.wait_until(lambda: server.heartbeats[-1]["pending_recordings"] == 0, "nothing waits")
        assert start.acks == stop.acks == 1


@pytest.mark.parametrize("frequency", [440, 1000])
def test_what_an_ffmpeg_source_plays_is_what_arrives(tmp_path: Path, frequency: int) -> None:
    from rolltape.recorder.source import microphone

    with ScriptServer() as server:
        recorder = recorder_of(server, tmp_path)
        recorder.use_source(microphone(f"lavfi:sine=frequency={frequency}", recorder.clock))
        with recorder:
            recording = recording_of(started(server, max_duration_sec=1))
            samples = samples_of(server.uploaded(recording).data)
    assert len(samples) == 48_000
    assert abs(peak_hz(samples) - frequency) < 2


def test_a_recording_ends_by_itself_after_its_longest_time(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        recording = recording_of(started(server, max_duration_sec=1))
        upload = server.uploaded(recording)
        assert upload.complete is not None
        assert upload.complete["duration_ms"] == 1000
        assert recorder.press("status")["recording"] is None


def test_a_recording_that_is_held_back_waits_for_trigger_upload(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        held = recording_of(started(server, upload_immediately=False))
        stopped(server)
        at_once = recording_of(started(server, max_duration_sec=1))
        server.uploaded(at_once)
        server.wait_until(lambda: recorder.press("status")["pending_recordings"] == 1, "its answer")
        assert server.recordings[held].complete is None
        assert server.recordings[held].data == b""
        trigger = server.wait_status(server.command("trigger_upload"), "executed")
        assert trigger.result == {"pending_recordings": 1}
        assert server.uploaded(held).complete is not None


def test_a_recording_by_hand_is_local_and_names_its_binding(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        begun = recorder.press("start")
        assert begun["ok"]
        server.wait_until(lambda: (server.heartbeats[-1]["recording"] or {}).get("initiated_by") == "local")
        ended = recorder.press("stop")
        assert ended["recording_id"] == begun["recording_id"]
        upload = server.uploaded(begun["recording_id"])
        assert upload.body["binding_generation"] == server.generation
        assert "command_id" not in upload.body


def test_a_stop_command_ends_a_recording_by_hand(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        begun = recorder.press("start")
        assert recording_of(stopped(server)) == begun["recording_id"]


def test_a_stop_that_was_made_before_a_recording_by_hand_does_not_end_it(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        old = server.command("stop_recording", offer=False)
        server.wait_status(server.command("trigger_upload"), "executed")
        assert recorder.press("start")["ok"]
        server.offer(old)
        assert server.wait_status(old, "failed").error == "superseded"
        assert recorder.press("status")["recording"] is not None


def test_the_local_switch_ends_what_runs_and_wins_over_commands_also_after_a_reboot(tmp_path: Path) -> None:
    with ScriptServer() as server:
        with recorder_of(server, tmp_path) as recorder:
            recording = recording_of(started(server))
            assert recorder.press("mute")["muted"]
            server.uploaded(recording)
        with recorder_of(server, tmp_path) as recorder:
            refused = server.wait_status(server.command("start_recording"), "failed")
            assert refused.error == "muted_locally"
            assert recorder.press("start")["code"] == "muted_locally"
            recorder.press("unmute")
            started(server)


def test_powering_down_ends_a_recording_and_keeps_it_for_later(tmp_path: Path) -> None:
    with ScriptServer() as server:
        with recorder_of(server, tmp_path):
            recording = recording_of(started(server))
            server.wait_until(lambda: recording in server.recordings)
            server.offline = True
        server.offline = False
        with recorder_of(server, tmp_path) as recorder:
            assert server.uploaded(recording).complete is not None
            assert recorder.press("status")["recording"] is None


def test_a_microphone_that_goes_away_ends_the_recording_and_keeps_what_was_heard(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        recording = recording_of(started(server))
        recorder.microphone.unplugged = True
        upload = server.uploaded(recording)
        assert len(samples_of(upload.data)) > 0
        assert server.wait_status(server.command("stop_recording"), "failed").error == "not_recording"
