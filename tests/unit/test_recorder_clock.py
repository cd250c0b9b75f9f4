"""Trusted time: from the server alone, never back, over a power cut too."""

from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest

from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.trusted_clock import TrustedClock

T = TypeVar("T")
NOON = 1_893_499_200_000


class Timer:
    """A clock whose hands a test moves; its wall time is wrong on purpose."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now_ms(self) -> int:
        return 5_000

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        raise AssertionError

    async def wait(self, awaitable: Awaitable[T], seconds: float) -> T | None:
        raise AssertionError


@pytest.fixture
def timer() -> Timer:
    return Timer()


def clock(timer: Timer, tmp_path: Path) -> TrustedClock:
    return TrustedClock(timer, tmp_path / "clock")


def test_there_is_no_time_before_the_server_was_heard(timer: Timer, tmp_path: Path) -> None:
    assert clock(timer, tmp_path).now_ms() is None
    assert clock(timer, tmp_path).label_ms() == 5_000


def test_time_goes_on_with_the_monotonic_timer(timer: Timer, tmp_path: Path) -> None:
    trusted = clock(timer, tmp_path)
    trusted.hear(NOON, timer.seconds)
    timer.seconds += 90
    assert trusted.now_ms() == NOON + 90_000


def test_a_slow_answer_counts_from_its_request_so_that_no_end_is_missed(timer: Timer, tmp_path: Path) -> None:
    trusted = clock(timer, tmp_path)
    sent = timer.seconds
    timer.seconds += 8
    trusted.hear(NOON, sent)
    assert trusted.now_ms() == NOON + 8_000


def test_a_quicker_answer_puts_a_slow_one_right(timer: Timer, tmp_path: Path) -> None:
    trusted = clock(timer, tmp_path)
    sent = timer.seconds
    timer.seconds += 8
    trusted.hear(NOON, sent)
    trusted.hear(NOON + 1_000, timer.seconds)
    assert trusted.now_ms() == NOON + 1_000


def test_an_answer_that_was_held_back_only_moves_time_on(timer: Timer, tmp_path: Path) -> None:
    trusted = clock(timer, tmp_path)
    trusted.hear(NOON, None)
    assert trusted.now_ms() == NOON
    trusted.hear(NOON - 60_000, None)
    assert trusted.now_ms() == NOON
    trusted.hear(NOON + 60_000, None)
    assert trusted.now_ms() == NOON + 60_000


def test_a_server_that_goes_back_does_not_move_time_back(timer: Timer, tmp_path: Path) -> None:
    trusted = clock(timer, tmp_path)
    trusted.hear(NOON, timer.seconds)
    timer.seconds += 60
    trusted.hear(NOON - 3_600_000, timer.seconds)
    assert trusted.now_ms() == NOON + 60_000
    trusted.hear(NOON + 10_000, timer.seconds)
    assert trusted.now_ms() == NOON + 60_000


def test_the_floor_outlives_a_power_cut(timer: Timer, tmp_path: Path) -> None:
    clock(timer, tmp_path).hear(NOON, timer.seconds)
    again = clock(timer, tmp_path)
    assert again.floor_ms == NOON
    assert again.now_ms() is None
    again.hear(NOON - 86_400_000, timer.seconds)
    assert again.now_ms() == NOON


def test_a_damaged_floor_is_no_floor(timer: Timer, tmp_path: Path) -> None:
    clock(timer, tmp_path).hear(NOON, timer.seconds)
    (tmp_path / "clock").write_bytes(b"\xff\xfe")
    assert clock(timer, tmp_path).floor_ms == 0


@pytest.mark.parametrize(
    ("server", "trusted"),
    [
        ("https://example.com", True),
        ("http://127.0.0.1:8787", True),
        ("http://[::1]:8787", True),
        ("http://localhost", True),
        ("http://example.com", False),
        ("http://192.168.1.2", False),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost.example.com", False),
    ],
)
def test_time_counts_only_over_tls_or_from_this_machine(tmp_path: Path, server: str, trusted: bool) -> None:
    assert RecorderSettings(server=server, token="dtok_x", state_dir=tmp_path).is_trusted is trusted


@pytest.mark.parametrize(
    "wrong",
    [
        {"server": "example.com"},
        {"server": "ftp://example.com"},
        {"token": ""},
        {"grant_kid": "k"},
        {"poll_wait_sec": 61},
    ],
)
def test_settings_that_can_not_work_are_refused_at_once(tmp_path: Path, wrong: dict[str, object]) -> None:
    right: dict[str, object] = {"server": "https://example.com", "token": "dtok_x", "state_dir": tmp_path}
    with pytest.raises(ValueError, match=r".+"):
        RecorderSettings(**(right | wrong))  # type: ignore[arg-type]


def test_settings_never_show_a_secret(tmp_path: Path) -> None:
    settings = RecorderSettings(
        server="https://example.com", token="dtok_secret", state_dir=tmp_path, grant_kid="k", grant_secret="hush"
    )
    assert "dtok_secret" not in repr(settings)
    assert "hush" not in repr(settings)
