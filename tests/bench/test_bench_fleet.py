"""`python -m bench.fleet` with tens of devices: what it writes down, and its verdict."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import fleet
from rolltape.simulate.check import PROMISES

SMALL = {"--devices": 40, "--every": 0.25, "--commands-per-second": 60, "--seconds": 1.5, "--sample": 0.25}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Beside pytest's own folders, which are closed to the user that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as made:
        yield Path(made)


def run(folder: Path, **wishes: object) -> tuple[int, dict[str, Any]]:
    """The exit code, and what was written."""
    out = folder / "deep" / "fleet.json"
    options = {**SMALL, "--out": out, **{f"--{name}": value for name, value in wishes.items()}}
    code = fleet.main([str(word) for option in options.items() for word in option])
    assert out.with_suffix(".png").stat().st_size > 1000
    told: dict[str, Any] = json.loads(out.read_text())
    return code, told


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_fleet_that_keeps_every_promise_is_written_down_and_ends_with_0(folder: Path, store: str) -> None:
    code, told = run(folder, store=store, loss=0.02, ttl=20)
    report, samples = told["report"], told["samples"]
    assert (code, told["store"]) == (0, store)
    assert report["broken"] == dict.fromkeys(PROMISES, 0)
    assert (report["devices"], report["loss"], report["commands"]["created"]) == (40, 0.02, 90)
    assert [one["at"] for one in samples] == sorted({one["at"] for one in samples})
    assert len(samples) >= 4
    assert sum(one["requests"] for one in samples) > 0
    assert all(one["server_mb"] > 1 for one in samples)
    for name in ("server", "simulator", *(["database"] if store == "postgres" else [])):
        assert all(0 <= one[name] <= 8 for one in samples), "parts of a core, not seconds"
        assert any(one[name] > 0 for one in samples)
    assert (told["history_bytes"] or 0) > 0 if store == "postgres" else told["history_bytes"] is None


def test_lost_doubled_and_late_commands_end_it_with_1_and_are_written_down(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "SIMULATOR", "tests.bench.broken_fleet")
    code, told = run(folder, loss=0, ttl=2)
    assert code == 1
    for promise in ("lost", "executed_twice", "executed_after_expiry"):
        assert told["report"]["broken"][promise] > 0, promise
    assert {one["promise"] for one in told["report"]["examples"]} >= {"lost"}


def test_a_simulator_that_dies_is_no_success(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "SIMULATOR", "tests.bench.there_is_no_such_program")
    code, told = run(folder)
    assert code != 0
    assert told["report"] is None
