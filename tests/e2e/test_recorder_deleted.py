"""What a recorder does about a recording that the server doesn't have any more, and whose word it takes for what."""

from pathlib import Path

from rolltape.codes import Failure
from rolltape.testing.recorder import FakeRecorder
from rolltape.testing.script_server import ScriptServer
from tests.e2e.recorder_rig import recorder_of, recording_of, rig, started


def test_a_recording_that_was_deleted_on_the_server_is_deleted_on_the_device(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        recording = recording_of(started(server, max_duration_sec=1, upload_immediately=False))
        server.wait_until(lambda: recorder.ask(lambda p: [t.registered for t in p.tapes.waiting()]) == [True])
        server.delete_recording(recording)
        server.command("trigger_upload")
        server.wait_until(lambda: not recorder.ask(lambda p: p.tapes.all()), "the deletion")
        assert not list((tmp_path / "state" / "recordings").glob("rec_*"))
        assert server.recordings == {}


def test_a_recording_that_the_server_has_forgotten_is_announced_again(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        recording = recording_of(started(server, max_duration_sec=1, upload_immediately=False))
        server.wait_until(lambda: recorder.ask(lambda p: [t.registered for t in p.tapes.waiting()]) == [True])
        del server.recordings[recording]
        server.command("trigger_upload")
        assert server.uploaded(recording).complete is not None


def _mapped(url: str) -> str:
    """The same server by an address that doesn't count as this machine, so that nothing it says can be trusted."""
    return url.replace("127.0.0.1", "[::ffff:127.0.0.1]")


def test_a_floor_from_a_server_that_can_not_be_trusted_is_not_taken(tmp_path: Path) -> None:
    with ScriptServer() as server:
        with recorder_of(server, tmp_path):
            started(server, max_duration_sec=1)
        (tmp_path / "state" / "replay").unlink()
        with FakeRecorder(_mapped(server.url), server.token, tmp_path / "state") as recorder:
            beats = len(server.heartbeats)
            server.wait_until(lambda: len(server.heartbeats) > beats + 1, "two heartbeats")
            assert not recorder.settings.is_trusted
            assert recorder.ask(lambda p: p.replay.lost)
            stop = server.wait_status(server.command("stop_recording"), "failed")
            assert stop.error == Failure.REPLAY_STATE_LOST
