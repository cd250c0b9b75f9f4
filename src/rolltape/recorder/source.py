"""Where sound comes from: a microphone by ALSA, a file played over and over, or an FFmpeg test source."""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Protocol

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer

from rolltape.clock import Clock

OPEN_TIMEOUT_SEC = 5.0
"""A device that doesn't open or deliver for so long is not there."""


class MicrophoneGone(Exception):
    """The source can't be opened, or went away. The text says which and why."""


class Microphone(Protocol):
    """Something that can be listened to. Each call of `listen` opens it anew."""

    def listen(self, stop: Event) -> Iterator[AudioFrame]:
        """Frames as they sound, in real time, until `stop` is set. Raises MicrophoneGone."""
        ...


class AlsaMicrophone:
    """A sound card, by its ALSA name, e.g. `default` or `hw:1,0`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def listen(self, stop: Event) -> Iterator[AudioFrame]:
        _point_alsa_to_its_files()
        container = _open(f"alsa:{self._name}", self._name, "alsa")
        with container:
            yield from _frames(container, stop)


class PlayedSource:
    """A file or a test source, played at the speed of real time. A file begins again when it has ended."""

    def __init__(self, what: str, name: str, form: str | None, clock: Clock) -> None:
        self._what = what
        self._name = name
        self._form = form
        self._clock = clock

    def listen(self, stop: Event) -> Iterator[AudioFrame]:
        began = self._clock.monotonic()
        played = 0.0
        while not stop.is_set():
            before = played
            with _open(self._what, self._name, self._form) as container:
                for frame in _frames(container, stop):
                    frame.pts = None  # each round would begin at 0 again
                    played += frame.samples / frame.sample_rate
                    if stop.wait(max(0.0, began + played - self._clock.monotonic())):
                        break
                    yield frame
            if played == before and not stop.is_set():
                raise MicrophoneGone(f"{self._what} has no sound in it")


def microphone(source: str, clock: Clock) -> Microphone:
    """The source that a setting names. ValueError for a form that isn't known."""
    kind, _, name = source.partition(":")
    if kind == "alsa" and name:
        return AlsaMicrophone(name)
    if kind == "file" and name:
        return PlayedSource(source, str(Path(name)), None, clock)
    if kind == "lavfi" and name:
        return PlayedSource(source, name, "lavfi", clock)
    raise ValueError(f"source must be alsa:DEVICE, file:PATH or lavfi:GRAPH, not {source!r}")


def _point_alsa_to_its_files() -> None:
    system = "/usr/share/alsa/alsa.conf"
    if os.path.exists(system):  # FFmpeg may carry an ALSA that looks elsewhere
        os.environ.setdefault("ALSA_CONFIG_PATH", system)


def _open(what: str, name: str, form: str | None) -> InputContainer:
    try:
        return av.open(name, format=form, timeout=(OPEN_TIMEOUT_SEC, OPEN_TIMEOUT_SEC))
    except (OSError, av.FFmpegError, ValueError) as error:
        raise MicrophoneGone(f"{what} can't be opened: {error}") from error


def _frames(container: InputContainer, stop: Event) -> Iterator[AudioFrame]:
    try:
        if not container.streams.audio:
            raise MicrophoneGone("there is no sound in it")
        for frame in container.decode(audio=0):
            if stop.is_set():
                return
            yield frame
    except (OSError, av.FFmpegError) as error:
        raise MicrophoneGone(f"the source broke off: {error}") from error
