"""`rolltape demo` as a newcomer runs it: a process, its output, its audio file and its exit code."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import av
import numpy as np
import pytest

from rolltape.testing.leash import Leashed
from tests.tools import needs

ROLLTAPE = [sys.executable, "-m", "rolltape.cli.main"]
RATE = 48_000


def clean_env() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("ROLLTAPE_")}


def samples_of(file: Path) -> np.ndarray:
    with av.open(str(file)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
        frames = [one for frame in container.decode(audio=0) for one in resampler.resample(frame)]
        return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def loudest_hertz(samples: np.ndarray) -> tuple[float, float]:
    """The loudest frequency, and the share of the sound's energy that lies within 5 Hz of it."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    peak = float(hertz[np.argmax(power)])
    return peak, float(power[np.abs(hertz - peak) < 5].sum() / power.sum())


def told(label: str, output: str) -> str:
    found = re.search(rf"^{label}: +(.+)$", output, re.M)
    assert found, output
    return found[1]


@pytest.mark.parametrize("hertz", [440, 1000])
def test_the_demo_records_what_its_source_plays(hertz: int) -> None:
    command = [*ROLLTAPE, "demo", "--once", "--seconds", "2", "--source", f"lavfi:sine=frequency={hertz}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_env(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    audio = Path(told("Audio file", done.stdout))
    try:
        samples = samples_of(audio)
        peak, share = loudest_hertz(samples)
        seconds = len(samples) / RATE
        assert abs(peak - hertz) < 2
        assert share > 0.95
        assert 1.5 < seconds < 5
        assert abs(seconds - float(told("Length", done.stdout).removesuffix(" s"))) < 0.1
        assert list(audio.parent.iterdir()) == [audio]
    finally:
        shutil.rmtree(audio.parent)
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout
    assert "pending -> delivered -> executed" in done.stdout


def test_over_ble_the_demo_brings_back_what_its_recorder_heard_though_the_link_is_lost() -> None:
    command = [*ROLLTAPE, "demo", "--ble", "--once", "--seconds", "3", "--source", "lavfi:sine=frequency=700"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=clean_env(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    audio = Path(told("Audio file", done.stdout))
    try:
        samples = samples_of(audio)
        peak, share = loudest_hertz(samples)
        assert abs(peak - 700) < 2
        assert share > 0.95
        assert 2.5 < len(samples) / RATE < 8
        assert list(audio.parent.iterdir()) == [audio]
    finally:
        shutil.rmtree(audio.parent)
    assert "Traceback" not in done.stderr
    assert done.stdout.count("on the word of: device_signed") == 2
    assert done.stdout.count("by relay") == 2
    assert "the link is lost, on purpose" in done.stdout
    assert "100 % of" in done.stdout


@contextmanager
def demo_that_stays(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A demo that has told its story and waits, and the lines that it printed."""
    command = [*ROLLTAPE, "demo", "--seconds", "1", "--source", "lavfi:sine=frequency=440"]
    env = {**clean_env(), "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": env}
    # Who is started in the background ignores SIGINT, and so would the demo.
    process = Leashed[str](command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **how)
    end_of_patience = Timer(60, process.kill)
    end_of_patience.start()
    lines: list[str] = []
    assert process.stdout is not None
    try:
        for line in process.stdout:
            lines.append(line)
            if "The API is documented" in line:
                break
        yield process, lines
    finally:
        end_of_patience.cancel()
        process.terminate()
        process.stdout.close()
        process.wait(30)


def end(process: subprocess.Popen[str], signum: int) -> int:
    process.send_signal(signum)
    return process.wait(30)


def sh(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line, shell=True, capture_output=True, text=True, timeout=30, check=False)


@needs("curl")
def test_the_curl_lines_work_when_pasted_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    with demo_that_stays(tmp_path) as (process, lines):
        start, stop, look = [line for line in lines if line.startswith("curl ")]
        answers = [sh(line) for line in (start, stop, look)]
        for answer, text in zip(answers, ('"executed"', '"executed"', '"has_more":true'), strict=True):
            assert text in answer.stdout.replace(": ", ":"), answer.stdout + answer.stderr
        assert end(process, signal.SIGINT) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    command = [*ROLLTAPE, "demo", "--once", "--seconds", "1", "--source", "lavfi:no_such_filter"]
    env = {**clean_env(), "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert done.returncode == 1
    assert "microphone_unavailable" in done.stdout
    assert "recorder's log" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    command = [*ROLLTAPE, "demo", "--seconds", "60", "--source", "lavfi:sine=frequency=440"]
    env = {**clean_env(), "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    process = Leashed[str](command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    with process.stdout:
        assert any("executed" in line for line in process.stdout)
        assert end(process, signal.SIGTERM) == 1
    assert list(tmp_path.iterdir()) == []
