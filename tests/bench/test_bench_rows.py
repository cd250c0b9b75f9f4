"""Rows, aims, and the figures in docs/benchmarks.md."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from bench.__main__ import main
from bench.effort import QUICK
from bench.load.run import Figures
from bench.report.__main__ import main as report
from bench.report.docs import BEGIN, END
from bench.report.saved import read, write
from bench.rows import Outcome, Row, met, row

from rolltape.wire.cwt import TYPES

ROOT = Path(__file__).parents[2]


def made(**changed: object) -> Row:
    mine = [Figures(each, 1.0, 2.0, 0) for each in (100.0, 90.0, 80.0)]
    theirs = [Figures(each, 1.0, 2.0, 0) for each in (10.0, 10.0, 10.0)]
    return replace(row("create", 8, "the peer", mine, theirs, store="sqlite"), **changed)  # type: ignore[arg-type]


def test_the_ratio_is_the_median_of_the_rounds_and_a_cost_is_turned_round() -> None:
    assert (made().ratio, made().ratio_low, made().ratio_high) == (9.0, 8.0, 10.0)
    mine, theirs = [Figures(50.0, 1.0, 2.0, 0)], [Figures(100.0, 1.0, 2.0, 0)]
    assert row("list", 1, "few", mine, theirs, store="sqlite", cost=True).ratio == 2.0
    assert row("create", 1, "a broker", mine, [Figures(30_000.0, 1.0, 2.0, 0)], store="sqlite").ratio == 0.001667


@pytest.mark.parametrize(
    ("target", "is_met"),
    [
        ("", None),
        ("at least 9", True),
        ("at least 9.1", False),
        ("at most 9", True),
        ("at most 8", False),
        ("p99 at most 2", True),
        ("p99 at most 1.9", False),
    ],
)
def test_an_aim_is_read_from_its_words(target: str, is_met: bool | None) -> None:
    assert met(made(target=target)) is is_met


def saved(folder: Path, *, quick: bool = False) -> Path:
    outcome = Outcome([made(target="at least 20"), made(peer="a queue")], {"a broker": "isn't here"}, {})
    write(folder / "run.json", outcome, QUICK, quick=quick, seconds=60.0, load_before=(0.1, 0.2, 0.3))
    return folder / "run.json"


def test_the_report_writes_between_the_markers_and_touches_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"above\n{BEGIN}\nold figures\n{END}\nbelow\n")
    assert report([str(saved(tmp_path)), "--docs", str(tmp_path)]) == 0
    text = page.read_text()
    assert text.startswith(f"above\n{BEGIN}\n")
    assert text.endswith(f"{END}\nbelow\n")
    assert "old figures" not in text
    assert "**9.00** (8.00 to 10.0) | at least 20: **missed**" in text
    assert "a broker: isn't here" in text
    assert (tmp_path / "img" / "bench-create.png").stat().st_size > 1000
    assert report([str(tmp_path / "run.json"), "--docs", str(tmp_path)]) == 0
    assert page.read_text() == text


def test_the_report_refuses_what_would_mean_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "benchmarks.md").write_text("no place\n")
    quick, other = saved(tmp_path, quick=True), tmp_path / "other.json"
    other.write_text(json.dumps({"schema": 1}))
    for run, word in ((quick, "quick run"), (other, "schema 1"), (tmp_path / "none.json", "none.json")):
        with pytest.raises(SystemExit):
            report([str(run), "--docs", str(tmp_path)])
        assert word in capsys.readouterr().err
    with pytest.raises(SystemExit):
        report([str(saved(tmp_path)), "--docs", str(tmp_path)])
    assert "no lines" in capsys.readouterr().err


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    whole, rows = read(saved(tmp_path))
    assert rows[0] == made(target="at least 20")
    assert [each["met"] for each in whole["rows"]] == [False, None]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [("--only creat", "creat"), ("--stores mysql", "mysql"), ("--callers 1,x", "1,x"), ("--rounds 0", "--rounds 0")],
)
def test_what_is_asked_for_wrongly_is_refused_by_name(
    arguments: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert word in capsys.readouterr().err


def test_the_page_names_the_commands_and_has_a_place_for_the_figures() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    for command in ("make bench", "python -m bench --quick", "python -m bench --only", "python -m bench.report"):
        assert command in text
    assert text.index(BEGIN) < text.index(END)


def test_the_sizes_of_grants_are_a_table_with_every_command_type() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--only", "sizes"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    counted = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert set(TYPES) <= counted
