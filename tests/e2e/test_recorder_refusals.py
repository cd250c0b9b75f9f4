"""Every failure code that a device can report comes out of the recorder, and nothing is recorded then."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rolltape.codes import Failure
from rolltape.testing.recorder import FakeRecorder
from rolltape.testing.script_server import ScriptServer
from tests.e2e.recorder_rig import recorder_of, rig, started


def refused(server: ScriptServer, type: str = "start_recording", **more: Any) -> str | None:
    """The error of a command that failed."""
    return server.wait_status(server.command(type, **more), "failed").error


def test_a_second_start_is_already_recording(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        started(server)
        assert refused(server) == Failure.ALREADY_RECORDING
        assert recorder.microphone.opened == 1


def test_a_stop_while_idle_is_not_recording(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, _):
        assert refused(server, "stop_recording") == Failure.NOT_RECORDING


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (lambda r: setattr(r.body, "free_mb", 1.0), Failure.STORAGE_FULL),
        (lambda r: setattr(r.body, "battery", 4), Failure.LOW_BATTERY),
        (lambda r: setattr(r.microphone, "broken", True), Failure.MICROPHONE_UNAVAILABLE),
        (lambda r: r.press("mute"), Failure.MUTED_LOCALLY),
    ],
    ids=["storage_full", "low_battery", "microphone_unavailable", "muted_locally"],
)
def test_a_body_that_can_not_record_says_why(
    tmp_path: Path, trouble: Callable[[FakeRecorder], object], code: Failure
) -> None:
    with rig(tmp_path) as (server, recorder):
        trouble(recorder)
        assert refused(server) == code
        assert recorder.microphone.opened == 0
        assert recorder.press("status")["pending_recordings"] == 0
        assert server.recordings == {}


def test_a_battery_at_the_limit_is_enough(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        recorder.body.battery = 5
        started(server)


@pytest.mark.parametrize(
    "claims",
    [{"aud": "dev_1"}, {"iss": "0" * 16}, {"gen": 2}, {"gen": 0}, {"seq": 0}, {"seq": 2**63}, {"seq": 2**80}],
    ids=str,
)
def test_a_grant_for_somebody_else_is_invalid(tmp_path: Path, claims: dict[str, Any]) -> None:
    with rig(tmp_path) as (server, recorder):
        assert refused(server, claims=claims) == Failure.GRANT_INVALID
        assert recorder.microphone.opened == 0
        assert server.calls["ack"] == 0


def test_a_grant_that_is_another_commands_is_invalid(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        swapped, other = (server.command("start_recording", offer=False) for _ in range(2))
        swapped.grant = other.grant
        server.offer(swapped)
        assert server.wait_status(swapped, "failed").error == Failure.GRANT_INVALID
        assert recorder.microphone.opened == 0


def test_an_expired_grant_is_expired(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, _):
        assert refused(server, ttl=-1) == Failure.GRANT_EXPIRED


def test_a_grant_whose_number_was_used_is_replayed(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        first = started(server)
        assert refused(server, claims={"seq": first.seq}) == Failure.GRANT_REPLAYED
        assert recorder.microphone.opened == 1


def test_a_start_that_was_held_back_until_after_its_stop_is_superseded(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        start = server.command("start_recording", offer=False)
        server.wait_status(server.command("stop_recording"), "failed")
        server.offer(start)
        assert server.wait_status(start, "failed").error == Failure.SUPERSEDED
        assert recorder.microphone.opened == 0


def test_an_expired_stop_still_keeps_older_starts_away_also_after_a_reboot(tmp_path: Path) -> None:
    with ScriptServer() as server:
        start = server.command("start_recording", offer=False)
        with recorder_of(server, tmp_path):
            assert refused(server, "stop_recording", ttl=-5) == Failure.GRANT_EXPIRED
        with recorder_of(server, tmp_path) as recorder:
            server.offer(start)
            assert server.wait_status(start, "failed").error == Failure.SUPERSEDED
            assert recorder.microphone.opened == 0


def test_a_stop_made_before_the_running_recording_ends_nothing(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        old = server.command("stop_recording", offer=False)
        started(server)
        server.offer(old)
        assert server.wait_status(old, "failed").error == Failure.SUPERSEDED
        assert recorder.press("status")["recording"] is not None


def test_an_expired_stop_ends_the_recording_that_was_started_before_it(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        started(server)
        server.wait_status(server.command("stop_recording", ttl=-5), "executed")
        assert recorder.press("status")["recording"] is None


def test_without_trusted_time_no_start_but_a_stop(tmp_path: Path) -> None:
    with ScriptServer() as server:
        server.tells_time = False
        with recorder_of(server, tmp_path) as recorder:
            assert refused(server) == Failure.CLOCK_UNKNOWN
            assert recorder.press("start")["ok"]
            server.wait_status(server.command("stop_recording"), "executed")


def test_a_command_of_a_type_that_is_new_is_unsupported(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, _):
        assert refused(server, "play_a_song") == Failure.UNSUPPORTED_TYPE


def test_params_that_can_not_be_read_are_an_internal_failure(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        assert refused(server, params={"max_duration_sec": "long"}) == Failure.INTERNAL
        assert recorder.microphone.opened == 0


def test_a_grant_of_the_old_binding_is_refused_once_there_is_a_new_one(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        old = server.command("start_recording", offer=False)
        server.generation = 2
        server.wait_until(lambda: recorder.ask(lambda p: p.identity.known.generation) == 2)
        server.offer(old)
        assert server.wait_status(old, "failed").error == Failure.GRANT_INVALID
        started(server)


def test_a_lost_replay_record_refuses_everything_until_the_server_gives_a_floor(tmp_path: Path) -> None:
    with ScriptServer() as server:
        with recorder_of(server, tmp_path):
            played = started(server, max_duration_sec=1)
        (tmp_path / "state" / "replay").unlink()
        (tmp_path / "state" / "journal").unlink()
        kept = server.command("start_recording", offer=False)
        waiting = server.command("start_recording")
        with recorder_of(server, tmp_path) as recorder:
            assert server.wait_status(waiting, "failed").error == Failure.REPLAY_STATE_LOST
            server.wait_until(lambda: "replay_state_lost" not in server.heartbeats[-1], "the floor")
            for old in (kept, played):
                old.status = "pending"
                server.offer(old)
                assert server.wait_status(old, "failed").error == Failure.GRANT_REPLAYED
            assert recorder.microphone.opened == 0
            started(server)


@pytest.mark.parametrize("damage", [b"", b"x" * 36, b"\0" * 35], ids=["empty", "garbage", "short"])
def test_a_damaged_replay_record_counts_as_lost(tmp_path: Path, damage: bytes) -> None:
    with ScriptServer() as server:
        with recorder_of(server, tmp_path):
            started(server, max_duration_sec=1)
        (tmp_path / "state" / "replay").write_bytes(damage)
        waiting = server.command("start_recording")
        with recorder_of(server, tmp_path):
            assert server.wait_status(waiting, "failed").error == Failure.REPLAY_STATE_LOST
