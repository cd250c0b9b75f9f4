"""The recorder is killed at fifty random moments while commands flow: nothing is done twice and nothing is lost."""

import threading
from collections import Counter
from pathlib import Path
from random import Random

from rolltape.testing.script_server import ScriptServer
from tests.e2e.recorder_process import RecorderProcess
from tests.e2e.recorder_rig import samples_of

KILLS = 50
SEED = 20_300_101
ENDED = {"executed", "failed"}


def test_fifty_kills_lose_no_report_no_sound_and_do_nothing_twice(tmp_path: Path) -> None:
    random = Random(SEED)
    with ScriptServer() as server:
        recorder = RecorderProcess(server.url, server.token, tmp_path / "state")
        flow = Flow(server, Random(SEED + 1))
        recorder.start()
        flow.start()
        for _ in range(KILLS):
            flow.over.wait(random.uniform(0.35, 1.6))  # a pause: nothing sets it before the last kill
            recorder.kill()
            recorder.start()
        flow.end()
        server.wait_until(lambda: all(c.status in ENDED for c in server.commands.values()), "every report", 30)
        server.wait_until(lambda: all(r.complete for r in server.recordings.values()), "every upload", 30)
        assert recorder.end() == 0, recorder.log
    assert "fault" not in recorder.log
    check_story(server)


def check_story(server: ScriptServer) -> None:
    """What must be true of everything that the server has seen."""
    made_by = Counter(r.body["command_id"] for r in server.recordings.values())
    starts = [c for c in server.commands.values() if c.type == "start_recording"]
    executed = {c.id for c in starts if c.status == "executed"}
    assert len(executed) > KILLS // 5, Counter(c.error for c in starts)
    assert set(made_by) == executed
    assert set(made_by.values()) == {1}
    for command in server.commands.values():
        assert all(report["status"] == command.status for report in command.reports)
        if command.status == "executed":
            assert command.result is not None
            upload = server.recordings[command.result["recording_id"]]
            assert upload.complete is not None
            assert len(samples_of(upload.data)) // 48 >= upload.complete["duration_ms"] - 1
            if command.type == "stop_recording":
                assert command.result["duration_ms"] == upload.complete["duration_ms"]


class Flow(threading.Thread):
    """Starts and stops, one after another, as fast as the recorder takes them."""

    def __init__(self, server: ScriptServer, random: Random) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._random = random
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            start = self._server.command("start_recording", {"max_duration_sec": self._random.choice([1, 5])})
            self._until_ended(start.id)
            self.over.wait(self._random.uniform(0.0, 0.5))
            stop = self._server.command("stop_recording")
            self._until_ended(stop.id)

    def end(self) -> None:
        """No more commands."""
        self.over.set()
        self.join(20)

    def _until_ended(self, command_id: str) -> None:
        command = self._server.commands[command_id]
        self._server.wait_until(lambda: command.status in ENDED or self.over.is_set(), command.type, 20)
