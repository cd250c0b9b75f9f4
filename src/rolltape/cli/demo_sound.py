"""What the demo records, and how long it turned out."""

import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

TEST_TONE = "lavfi:sine=frequency=440:beep_factor=4"
"""A 440 Hz tone with a beep every second."""
MICROPHONE = "alsa:default"
_PROBE_SEC = 4.0


class MicrophoneSearch:
    """Looks for a microphone in a process of its own: sound libraries are chatty, and may hang."""

    def __init__(self) -> None:
        self.found = False
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        command = [sys.executable, "-c", "from rolltape.cli.demo_sound import listen_once; listen_once()"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_PROBE_SEC, check=False)  # noqa: S603 - ourselves
        except (OSError, subprocess.TimeoutExpired):
            return
        self.found = done.returncode == 0

    def source(self) -> str:
        """The microphone if there is one, else the test tone."""
        self._thread.join()
        return MICROPHONE if self.found else TEST_TONE


def listen_once() -> None:
    """Read one frame from the microphone. MicrophoneGone when there is none."""
    from rolltape.clock import SystemClock
    from rolltape.recorder.source import microphone

    next(iter(microphone(MICROPHONE, SystemClock()).listen(Event())))


def seconds_of(file: Path) -> float:
    """The length of an audio file, by decoding all of it."""
    import av

    with av.open(str(file)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
