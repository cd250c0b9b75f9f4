"""The recorder as a process: its signals and its exit codes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rolltape.recorder.control import send
from rolltape.testing.script_server import ScriptServer
from tests.e2e.recorder_process import RecorderProcess
from tests.e2e.recorder_rig import peak_hz, recording_of, samples_of, started


def test_sigterm_ends_a_recording_in_good_order_and_exits_0(tmp_path: Path) -> None:
    with ScriptServer() as server:
        recorder = RecorderProcess(server.url, server.token, tmp_path / "state")
        recorder.start()
        recording = recording_of(started(server))
        assert recorder.end() == 0, recorder.log
        recorder.start()
        upload = server.uploaded(recording)
        assert recorder.end() == 0
        assert abs(peak_hz(samples_of(upload.data)) - 440) < 5


def test_sigusr1_and_sigusr2_are_the_buttons(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with ScriptServer() as server:
        recorder = RecorderProcess(server.url, server.token, state)
        recorder.start()
        server.wait_until(lambda: server.calls["pending"] > 0)
        recorder.signal(signal.SIGUSR1)
        server.wait_until(lambda: (server.heartbeats[-1]["recording"] or {}).get("initiated_by") == "local")
        assert send(state, "status")["recording"] is not None
        recorder.signal(signal.SIGUSR2)
        server.wait_until(lambda: server.heartbeats[-1]["recording"] is None)
        server.uploaded(next(iter(server.recordings)))
        assert recorder.end() == 0


def test_no_secret_is_in_the_log_or_readable_by_others(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with ScriptServer() as server:
        recorder = RecorderProcess(server.url, server.token, state)
        recorder.start()
        start = started(server, max_duration_sec=1)
        server.uploaded(recording_of(start))
        assert server.wait_status(server.command("start_recording", claims={"aud": "dev_1"}), "failed")
        assert recorder.end() == 0
        assert server.token not in recorder.log
        assert start.grant not in recorder.log
        assert state.stat().st_mode & 0o077 == 0
        files = [path for path in state.rglob("*") if path.is_file()]
        assert all(path.stat().st_mode & 0o077 == 0 for path in files), files


@pytest.mark.parametrize("wrong", [{"source": "tape:deck"}, {"server": "nowhere"}])
def test_settings_that_can_not_work_end_at_once_with_a_reason(tmp_path: Path, wrong: dict[str, str]) -> None:
    said = {"server": "http://127.0.0.1:9", "token": "dtok_x", "source": "lavfi:sine"} | wrong
    program = (
        "import sys, pathlib\nfrom rolltape.recorder.config import RecorderSettings\n"
        "from rolltape.recorder.run import run_recorder\n"
        f"sys.exit(run_recorder(RecorderSettings(state_dir=pathlib.Path({str(tmp_path / 's')!r}), **{said!r})))"
    )
    line = [sys.executable, "-c", program]
    ended = subprocess.run(line, check=False, capture_output=True, text=True, timeout=30, env=os.environ)
    assert ended.returncode == 1
    assert "must be" in ended.stderr


def test_a_server_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    recorder = RecorderProcess("http://127.0.0.1:9", "dtok_x", tmp_path / "state")
    recorder.start()
    recorder.wait_for("no heartbeat")
    assert recorder.end() == 0
