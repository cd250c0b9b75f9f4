"""One recording while it runs: a thread that listens, encodes Opus at 48 kHz mono, and writes Ogg pages as they come.

A page holds a tenth of a second and reaches the disk within half a second, so a power cut takes less than a second of
a recording that runs. The recording counts as begun when its first page of sound is on the disk.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer

from rolltape.clock import Clock
from rolltape.codes import Failure
from rolltape.recorder.source import Microphone, MicrophoneGone

SAMPLE_RATE = 48_000
SYNC_EVERY_SEC = 0.5
LAG_SEC = 1.0
"""Sound may come so much later than it sounded; what comes after that is not waited for. No more is kept either way."""
_HEADER_PAGES = 2


@dataclass(frozen=True, slots=True)
class Ended:
    """How a recording ended. `failure` is None when it was meant to end; `trouble` says it in words."""

    duration_ms: int
    failure: Failure | None = None
    trouble: str = ""


class _PageFile:
    """The file that the muxer writes into: each write is one page."""

    def __init__(self, file: BinaryIO, clock: Clock, begun: Callable[[], None]) -> None:
        self._file = file
        self._clock = clock
        self._begun = begun
        self._has_begun = False
        self._pages = 0
        self._synced_at = clock.monotonic()

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._pages += 1
        is_first_sound = self._pages > _HEADER_PAGES and not self._has_begun
        if is_first_sound or self._clock.monotonic() - self._synced_at >= SYNC_EVERY_SEC:
            self.sync()
        if is_first_sound:
            self._has_begun = True
            self._begun()
        return len(data)

    def sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced_at = self._clock.monotonic()


class Capture:
    """Listens from `start` until `stop`, its longest time, or trouble. `begun` and `ended` are called in its thread."""

    def __init__(
        self,
        microphone: Microphone,
        path: Path,
        clock: Clock,
        *,
        bit_rate: int,
        max_seconds: float,
        begun: Callable[[], None],
        ended: Callable[[Ended], None],
    ) -> None:
        self._microphone = microphone
        self._path = path
        self._clock = clock
        self._bit_rate = bit_rate
        self._max_samples = round(max_seconds * SAMPLE_RATE)
        self._max_seconds = max_seconds
        self._begun = begun
        self._ended = ended
        self._stop = Event()
        self._samples = 0
        self._thread = Thread(target=self._run, name="rolltape-capture", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End; `ended` is called soon. Nothing happens when it has ended."""
        self._stop.set()

    def join(self, seconds: float) -> bool:
        """Wait for the thread; whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failure, trouble = None, ""
        try:
            with open(self._path, "wb", opener=_private) as file:
                self._record(file)
        except MicrophoneGone as error:
            failure, trouble = Failure.MICROPHONE_UNAVAILABLE, str(error)
        except (OSError, av.FFmpegError) as error:
            is_full = getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}
            failure = Failure.STORAGE_FULL if is_full else Failure.INTERNAL
            trouble = f"the recording can't be written: {error}"
        except Exception as error:  # whatever a source does wrong must not leave a recording that never ends
            failure, trouble = Failure.INTERNAL, f"the recording broke off: {type(error).__name__}"
        self._ended(Ended(self._samples * 1000 // SAMPLE_RATE, failure, trouble))

    def _record(self, file: BinaryIO) -> None:
        pages = _PageFile(file, self._clock, self._begun)
        options = {"page_duration": "100000", "flush_packets": "1"}
        with av.open(pages, "w", format="ogg", options=options) as out:
            stream = out.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
            stream.bit_rate = self._bit_rate
            try:
                self._listen(out, stream)
            finally:  # what was heard before trouble came is kept
                if self._samples:
                    out.mux(stream.encode(None))
        pages.sync()

    def _listen(self, out: OutputContainer, stream: AudioStream) -> None:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        deadline: float | None = None
        for frame in self._microphone.listen(self._stop):
            if deadline is None:
                deadline = self._clock.monotonic() + self._max_seconds + LAG_SEC
            frame.pts = None
            for piece in resampler.resample(frame):
                self._encode(out, stream, piece)
            if self._samples >= self._max_samples or self._clock.monotonic() >= deadline:
                return
        for piece in resampler.resample(None):
            self._encode(out, stream, piece)

    def _encode(self, out: OutputContainer, stream: AudioStream, piece: AudioFrame) -> None:
        room = self._max_samples - self._samples
        if piece.samples > room:
            piece = _first_samples(piece, room)
        if piece.samples:
            piece.pts = self._samples
            piece.time_base = Fraction(1, SAMPLE_RATE)
            self._samples += piece.samples
            out.mux(stream.encode(piece))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _first_samples(piece: AudioFrame, count: int) -> AudioFrame:
    cut = AudioFrame(format="s16", layout="mono", samples=count)
    cut.sample_rate = SAMPLE_RATE
    if count:
        cut.planes[0].update(bytes(piece.planes[0])[: count * 2])
    return cut
