"""Tokens and bindings: refreshed, ended, replaced, reset. What was recorded is kept, what was done is told."""

from pathlib import Path

import pytest

from rolltape.recorder.control import NotRunning, send
from rolltape.testing.script_server import ScriptServer
from rolltape.wire.ids import new_id, new_secret
from rolltape.wire.keys import HmacKey, b64url
from tests.e2e.recorder_rig import recorder_of, recording_of, rig, started, stopped


def test_a_refreshed_token_takes_over_and_outlives_a_restart(tmp_path: Path) -> None:
    with ScriptServer() as server:
        first = server.token
        with recorder_of(server, tmp_path, refresh_token=True):
            server.wait_until(lambda: len(server.tokens) == 1 and server.token != first, "the new token worked")
        recorder = recorder_of(server, tmp_path)
        recorder.settings = recorder.settings.__class__(
            **{name: getattr(recorder.settings, name) for name in recorder.settings.__slots__} | {"token": first}
        )
        with recorder:
            started(server)


def test_a_lost_answer_to_a_refresh_strands_nobody(tmp_path: Path) -> None:
    with ScriptServer() as server:
        server.lose["refresh"] = 2
        first = server.token
        with recorder_of(server, tmp_path, refresh_token=True):
            server.wait_until(lambda: len(server.tokens) == 1 and server.token != first, "the new token worked")
            started(server)


def test_an_ended_token_ends_what_a_command_began_and_the_story_is_finished(tmp_path: Path) -> None:
    with ScriptServer() as server:
        with recorder_of(server, tmp_path) as recorder:
            start = started(server)
            server.refuse["complete"] = 2
            server.ended = True
            server.wake()
            upload = server.uploaded(recording_of(start))
            assert upload.complete is not None
            assert recorder.press("status")["token_ended"]
        polls, beats = server.calls["pending"], server.calls["heartbeat"]
        with recorder_of(server, tmp_path) as recorder:
            assert recorder.press("status")["token_ended"]
        assert (server.calls["pending"], server.calls["heartbeat"]) == (polls, beats)


def test_an_ended_token_leaves_a_recording_by_hand_alone(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        begun = recorder.press("start")
        server.ended = True
        server.wake()
        server.wait_until(lambda: recorder.press("status")["token_ended"])
        assert recorder.press("status")["recording"]["recording_id"] == begun["recording_id"]
        assert recorder.press("stop")["ok"]
        assert server.uploaded(begun["recording_id"]).complete is not None


def test_a_command_that_had_no_go_when_the_token_ended_is_dropped(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        server.refuse["ack"] = 10**6
        server.next_heartbeat_sec = 3600
        start = server.command("start_recording")
        server.wait_until(lambda: server.calls["ack"] > 0)
        server.ended = True
        server.wake()
        server.wait_until(lambda: not recorder.ask(lambda p: p.journal.open_entries()), "dropped")
        assert recorder.microphone.opened == 0
        assert start.reports == []


def test_a_new_token_is_a_new_binding_and_the_old_audio_still_goes_up(tmp_path: Path) -> None:
    with ScriptServer() as server:
        with recorder_of(server, tmp_path):
            server.wait_until(lambda: server.calls["pending"] > 0)
            server.refuse["upload_url"] = 10**6
            recording = recording_of(started(server, max_duration_sec=1))
            server.wait_until(lambda: server.calls["upload_url"] > 0)
        server.tokens = [new_secret("dtok_")]
        server.generation = 2
        server.refuse["upload_url"] = 0
        with recorder_of(server, tmp_path) as recorder:
            server.uploaded(recording)
            started(server)
            assert recorder.ask(lambda p: p.identity.known.generation) == 2


def test_a_replay_record_of_another_device_counts_as_lost(tmp_path: Path) -> None:
    with ScriptServer() as server:
        with recorder_of(server, tmp_path):
            started(server, max_duration_sec=1)
        server.tokens = [new_secret("dtok_")]
        server.device_id = new_id("dev", server.now_ms())
        with recorder_of(server, tmp_path):
            server.wait_until(lambda: bool(server.heartbeats[-1].get("replay_state_lost")), "asked for a floor")
            server.wait_until(lambda: "replay_state_lost" not in server.heartbeats[-1], "got it")
            started(server)


def test_the_device_and_the_deployment_are_learned_once_for_a_token(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        device, iss = server.device_id, server.iss
        server.device_id, server.iss = new_id("dev", server.now_ms()), "f" * 16
        beats = server.calls["heartbeat"]
        server.wait_until(lambda: server.calls["heartbeat"] > beats + 1)
        known = recorder.ask(lambda p: p.identity.known)
        assert (known.device_id, known.iss) == (device, iss)


def test_a_factory_reset_is_reported_and_then_everything_is_wiped(tmp_path: Path) -> None:
    with ScriptServer() as server:
        recorder = recorder_of(server, tmp_path).start()
        started(server)
        server.lose["report"] = 2
        reset = server.wait_status(server.command("factory_reset"), "executed")
        recorder.join()
        assert len(reset.reports) >= 1
        left = {path.name for path in (tmp_path / "state").iterdir()}
        assert left <= {"lock"}


def test_a_factory_reset_that_was_told_but_not_carried_out_is_carried_out_at_the_next_start(tmp_path: Path) -> None:
    with ScriptServer() as server:
        with recorder_of(server, tmp_path):
            started(server, max_duration_sec=1)
        (tmp_path / "state" / "wiping").touch()
        with recorder_of(server, tmp_path) as recorder:
            assert recorder.ask(lambda p: p.journal.all()) == []


def test_an_hs256_device_obeys_with_the_secret_from_bind_and_no_other_key(tmp_path: Path) -> None:
    secret = bytes(range(32))
    with ScriptServer(signer=HmacKey("hs-1", secret)) as server:
        with recorder_of(server, tmp_path, grant_kid="hs-1", grant_secret=b64url(secret)):
            started(server)
            stopped(server)
            assert server.heartbeats[-1]["grant_kids"] == ["hs-1"]
        assert server.calls["keys"] == 0


def test_buttons_work_from_another_process_over_the_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    with ScriptServer() as server:
        with recorder_of(server, deep):
            assert send(deep / "state", "start")["ok"]
            assert send(deep / "state", "status")["recording"]["initiated_by"] == "local"
            assert send(deep / "state", "stop")["duration_ms"] > 0
            assert send(deep / "state", "stop")["code"] == "not_recording"
        with pytest.raises(NotRunning, match="no recorder answers"):
            send(deep / "state", "status")
