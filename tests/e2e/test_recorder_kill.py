"""The recorder is killed at fifty random moments while commands flow: nothing is done twice and nothing is lost."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from rolltape import Client
from rolltape.clock import SystemClock
from rolltape.testing.process import make_key, running_server
from rolltape.wire.command import Command
from tests.e2e.recorder_process import RecorderProcess
from tests.e2e.recorder_rig import samples_of

KILLS = 50
SEED = 20_300_101
ENDED = {"executed", "failed"}
CLOCK = SystemClock()


def test_fifty_kills_lose_no_report_no_sound_and_do_nothing_twice(tmp_path: Path) -> None:
    random = Random(SEED)
    with running_server(tmp_path / "data") as server, Client(server.url, make_key(tmp_path / "data")["key"]) as client:
        device = client.devices.register("kill-1").id
        bound = client.devices.bind(device, client.end_users.create("kill").id)
        recorder = RecorderProcess(server.url, bound.device_token, tmp_path / "state")
        flow = Flow(client, device, Random(SEED + 1))
        recorder.start()
        flow.start()
        for _ in range(KILLS):
            flow.over.wait(random.uniform(0.35, 1.6))  # a pause: nothing sets it before the last kill
            recorder.kill()
            recorder.start()
        flow.end()
        until(lambda: all(c.status in ENDED for c in client.commands.list(device)), "every report")
        until(lambda: all(r.status == "uploaded" for r in client.recordings.list(device_id=device)), "every upload")
        assert recorder.end() == 0, recorder.log
        assert "fault" not in recorder.log
        check_story(client, device, tmp_path / "sound.ogg")


def check_story(client: Client, device: str, file: Path) -> None:
    """What must be true of everything that the server has seen."""
    commands = list(client.commands.list(device))
    recordings = {recording.id: recording for recording in client.recordings.list(device_id=device)}
    executed = {c.id for c in commands if c.type == "start_recording" and c.status == "executed"}
    assert len(executed) > KILLS // 5, Counter(c.error.code for c in commands if c.error)
    made_by = Counter(recording.command_id for recording in recordings.values())
    assert set(made_by) == executed
    assert set(made_by.values()) == {1}
    for recording in recordings.values():
        client.recordings.download(recording.id, file)  # checks the hash
        assert recording.duration_ms is not None
        assert abs(len(samples_of(file.read_bytes())) // 48 - recording.duration_ms) <= 1
        file.unlink()
    for command in commands:
        if command.status == "executed":
            check_result(command, recordings[(command.result or {})["recording_id"]].duration_ms)


def check_result(command: Command, duration_ms: int | None) -> None:
    """A stop said how long the recording was that arrived."""
    if command.type == "stop_recording":
        assert command.result is not None
        assert command.result["duration_ms"] == duration_ms


def until(holds: Callable[[], bool], what: str, seconds: float = 40.0) -> None:
    """Ask until it holds."""
    end = CLOCK.monotonic() + seconds
    pause = threading.Event()
    while not holds():
        assert CLOCK.monotonic() < end, f"in vain: {what}"
        pause.wait(0.2)


class Flow(threading.Thread):
    """Starts and stops, one after another, as fast as the recorder takes them."""

    def __init__(self, client: Client, device: str, random: Random) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._device = device
        self._random = random
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            self._send("start_recording", {"max_duration_sec": self._random.choice([1, 5])})
            self.over.wait(self._random.uniform(0.0, 0.5))
            self._send("stop_recording", None)

    def end(self) -> None:
        """No more commands."""
        self.over.set()
        self.join(30)
        assert not self.is_alive()

    def _send(self, type: str, params: dict[str, int] | None) -> None:
        command = self._client.commands.create(self._device, type, params=params, wait=2)  # type: ignore[arg-type]
        while command.status not in ENDED and not self.over.is_set():
            command = self._client.commands.get(self._device, command.id)
            self.over.wait(0.05)
