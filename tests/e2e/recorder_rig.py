"""A scripted device plane and a recorder beside it, for the recorder's tests; and what they look at in sound."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np

from rolltape.testing.recorder import FakeRecorder
from rolltape.testing.script_server import ScriptCommand, ScriptServer

Samples = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@contextmanager
def rig(folder: Path, **settings: Any) -> Iterator[tuple[ScriptServer, FakeRecorder]]:
    """A server, and a recorder that has heard it."""
    with ScriptServer() as server, recorder_of(server, folder, **settings) as recorder:
        server.wait_until(lambda: server.calls["pending"] > 0, "the first poll")
        yield server, recorder


@contextmanager
def channel_rig(folder: Path, **settings: Any) -> Iterator[tuple[ScriptServer, FakeRecorder]]:
    """A server with a live channel, and a recorder that has one open."""
    with ScriptServer() as server:
        server.channel.works = True
        with recorder_of(server, folder, **settings) as recorder:
            until_up(server, recorder)
            yield server, recorder


def until_up(server: ScriptServer, recorder: FakeRecorder) -> None:
    """Wait until the recorder has its channel."""
    server.wait_until(lambda: recorder.ask(lambda parts: parts.channel.up.is_set()), "the channel")


def recorder_of(server: ScriptServer, folder: Path, **settings: Any) -> FakeRecorder:
    """A recorder with its state in `folder`/state."""
    return FakeRecorder(server.url, server.token, folder / "state", **settings)


def started(server: ScriptServer, **params: Any) -> ScriptCommand:
    """A start that was obeyed."""
    return server.wait_status(server.command("start_recording", params), "executed")


def stopped(server: ScriptServer) -> ScriptCommand:
    """A stop that was obeyed."""
    return server.wait_status(server.command("stop_recording"), "executed")


def recording_of(command: ScriptCommand) -> str:
    """The recording that a result names."""
    assert command.result is not None
    return str(command.result["recording_id"])


def samples_of(data: bytes) -> Samples:
    """The sound in a file, at 48 kHz."""
    with av.open(io.BytesIO(data), "r") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.float64)


def peak_hz(samples: Samples) -> float:
    """The frequency that is loudest."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * 48_000 / len(samples)
