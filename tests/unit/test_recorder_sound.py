"""What is on the disk of a recording: exact lengths, and all that can be saved of one that broke off."""

import io
import threading
from pathlib import Path

import av
import pytest

from rolltape.clock import SystemClock
from rolltape.codes import Failure
from rolltape.recorder import ogg
from rolltape.recorder.capture import Capture, Ended
from rolltape.recorder.source import microphone
from rolltape.testing.recorder import FakeMicrophone
from tests.e2e.recorder_rig import peak_hz, samples_of

CLOCK = SystemClock()


def recorded(path: Path, source: object, seconds: float) -> Ended:
    done, ended = threading.Event(), []

    def end(how: Ended) -> None:
        ended.append(how)
        done.set()

    capture = Capture(
        source,  # type: ignore[arg-type]
        path,
        CLOCK,
        bit_rate=48_000,
        max_seconds=seconds,
        begun=lambda: None,
        ended=end,
    )
    capture.start()
    assert done.wait(20)
    assert capture.join(5)
    return ended[0]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "one.ogg"
    assert recorded(path, FakeMicrophone(), 1.2345) == Ended(1234)
    return path.read_bytes()


def test_a_recording_is_as_long_as_it_was_told_to_the_sample(sound: bytes) -> None:
    assert len(samples_of(sound)) == round(1.2345 * 48_000)
    with av.open(io.BytesIO(sound)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("opus", 48_000, 1)


def test_a_file_is_played_over_and_over(tmp_path: Path) -> None:
    recorded(tmp_path / "half.ogg", FakeMicrophone(1000), 0.5)
    assert recorded(tmp_path / "more.ogg", microphone(f"file:{tmp_path / 'half.ogg'}", CLOCK), 1.0) == Ended(1000)
    assert abs(peak_hz(samples_of((tmp_path / "more.ogg").read_bytes())) - 1000) < 3


@pytest.mark.parametrize("source", ["file:/nowhere.wav", "lavfi:nonsense", "lavfi:testsrc", f"file:{__file__}"])
def test_a_source_that_is_no_source_is_a_microphone_that_is_not_there(tmp_path: Path, source: str) -> None:
    how = recorded(tmp_path / "x.ogg", microphone(source, CLOCK), 1.0)
    assert (how.duration_ms, how.failure) == (0, Failure.MICROPHONE_UNAVAILABLE)


def test_a_disk_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    how = recorded(Path("/dev/full"), FakeMicrophone(), 0.5)
    assert how.failure is Failure.STORAGE_FULL


@pytest.mark.parametrize("source", ["", "alsa:", "mp3:x", "file:"])
def test_a_source_of_no_known_form_is_refused_at_start(source: str) -> None:
    with pytest.raises(ValueError, match="alsa:DEVICE"):
        microphone(source, CLOCK)


def test_a_file_cut_anywhere_is_good_up_to_its_last_whole_page(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / "cut.ogg"
    longest = 0
    for cut in range(0, len(sound), 101):
        path.write_bytes(sound[:cut])
        length = ogg.salvage(path)
        assert length >= longest  # the more there is, the more is saved
        longest = length
        if length:
            assert abs(len(samples_of(path.read_bytes())) // 48 - length) <= 1
    assert longest > 1000


def test_a_tail_that_never_reached_the_disk_is_cut_off(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / "zeros.ogg"
    cut = len(sound) * 2 // 3
    path.write_bytes(sound[:cut] + bytes(len(sound) - cut))
    length = ogg.salvage(path)
    assert 600 < length < 1000
    assert abs(len(samples_of(path.read_bytes())) // 48 - length) <= 1


def test_a_page_whose_middle_never_reached_the_disk_is_cut_off(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / "hole.ogg"
    at = len(sound) * 2 // 3
    path.write_bytes(sound[:at] + bytes(64) + sound[at + 64 :])
    assert 600 < ogg.salvage(path) < 1000


def test_salvaging_twice_changes_nothing(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / "cut.ogg"
    path.write_bytes(sound[:3000])
    first = ogg.salvage(path)
    saved = path.read_bytes()
    assert ogg.salvage(path) == first
    assert path.read_bytes() == saved


@pytest.mark.parametrize("data", [b"", b"OggS", b"x" * 1000, b"OggS\0" + b"\xff" * 100])
def test_nothing_can_be_saved_of_what_holds_no_sound(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "no.ogg"
    path.write_bytes(data)
    assert ogg.salvage(path) == 0
    assert ogg.salvage(tmp_path / "nowhere.ogg") == 0
