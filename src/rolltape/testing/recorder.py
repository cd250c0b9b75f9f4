"""A recorder for tests: the real one, in a thread, with a microphone, a battery and a disk that a test holds.

with FakeRecorder(server.url, token, tmp_path) as recorder:
    recorder.press("start")
"""

import array
import asyncio
import math
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from av.audio.frame import AudioFrame

from rolltape.clock import Clock, SystemClock
from rolltape.recorder.air.session import Session
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.control import Word
from rolltape.recorder.parts import Parts
from rolltape.recorder.probes import Storage
from rolltape.recorder.recorder import Recorder
from rolltape.recorder.source import Microphone, MicrophoneGone

T = TypeVar("T")
FRAME_SAMPLES = 960
SAMPLE_RATE = 48_000


class FakeMicrophone:
    """Hears one tone, in real time. `broken` makes it fail to open; `unplugged` makes it fail while it is heard."""

    def __init__(self, frequency: float = 440.0) -> None:
        self.frequency = frequency
        self.broken = False
        self.unplugged = False
        self.silent = False
        self.opened = 0
        self.when_opened: Callable[[], object] = lambda: None
        self._clock = SystemClock()

    def listen(self, stop: threading.Event) -> Iterator[AudioFrame]:
        if self.broken:
            raise MicrophoneGone("the fake microphone is broken")
        self.opened += 1
        self.when_opened()
        began = self._clock.monotonic()
        for number in range(10**9):
            if stop.wait(max(0.0, began + (number + 1) * FRAME_SAMPLES / SAMPLE_RATE - self._clock.monotonic())):
                return
            if self.unplugged:
                raise MicrophoneGone("the fake microphone was unplugged")
            if not self.silent:
                yield _tone(self.frequency, number * FRAME_SAMPLES)


class FakeBody:
    """A battery and a disk, as a test sets them."""

    def __init__(self) -> None:
        self.battery: int | None = 80
        self.free_mb = 10_000.0
        self.total_mb = 16_000.0

    def battery_percent(self) -> int | None:
        return self.battery

    def storage(self) -> Storage:
        return Storage(self.total_mb, self.free_mb)


class FakeRecorder:
    """The real recorder, run in a thread of its own between `start` and `stop` (or as a context manager).

    Without a server, and with `binding`, it knows relays alone: a test plays them by `on_air`.
    """

    def __init__(
        self, server: str | None, token: str | None, state_dir: Path, *, clock: Clock | None = None, **settings: Any
    ) -> None:
        quick: dict[str, Any] = {
            "backoff_first_sec": 0.02,
            "backoff_most_sec": 0.3,
            "poll_wait_sec": 5,
            "channel_first_sec": 0.05,
            "channel_most_sec": 0.3,
            "min_free_mb": 5,
        }
        self.settings = RecorderSettings(server=server, token=token, state_dir=state_dir, **(quick | settings))
        self.microphone = FakeMicrophone()
        self._source: Microphone = self.microphone
        self.body = FakeBody()
        self.clock: Clock = clock or SystemClock()
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def use_source(self, source: Microphone) -> None:
        """Listen to something else than the fake microphone, from the next `start` on."""
        self._source = source

    def start(self) -> "FakeRecorder":
        """Power up; comes back when its loops run."""
        self._ready.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._run, name="fake-recorder", daemon=True)
        self._thread.start()
        assert self._ready.wait(20), "the recorder did not come up"
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Power down in good order: a recording that runs is ended."""
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self.join()

    def join(self, seconds: float = 20.0) -> None:
        """Wait until it has ended by itself (a factory reset)."""
        if self._thread is not None:
            self._thread.join(seconds)
            assert not self._thread.is_alive(), "the recorder did not end"

    def press(self, word: Word) -> dict[str, Any]:
        """Press a button of the device."""

        async def press() -> dict[str, Any]:
            assert self._recorder.buttons is not None
            return await self._recorder.buttons.press(word)

        return asyncio.run_coroutine_threadsafe(press(), self._loop).result(30)

    def ask(self, question: Callable[[Parts], Any]) -> Any:
        """The answer to a question about its parts, asked in its own thread."""

        async def answer() -> Any:
            assert self._recorder.parts is not None
            return question(self._recorder.parts)

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(30)

    def on_air(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """What comes of `work` with the device's half of its conversations with relays, in its own thread."""

        async def done() -> T:
            assert self._recorder.air is not None, "it needs binding=…"
            return await work(self._recorder.air)

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(30)

    def __enter__(self) -> "FakeRecorder":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except Exception as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._recorder = Recorder(self.settings, self.clock, probes=self.body, source=self._source)
        await self._recorder.run(self._stop, started=self._ready.set)


def _tone(frequency: float, first: int) -> AudioFrame:
    step = 2 * math.pi * frequency / SAMPLE_RATE
    samples = array.array("h", (round(12_000 * math.sin(step * (first + i))) for i in range(FRAME_SAMPLES)))
    frame = AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
    frame.sample_rate = SAMPLE_RATE
    frame.planes[0].update(samples.tobytes())
    return frame
