"""The benchmarks' own parts work. Nothing here is timed: a figure is never asserted."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.client import Figures, request
from bench.compare import QUICK, Lane, row
from bench.load import SLOT, Plan, Run, run_plan
from bench.servers import echo

from rolltape.wire.cwt import TYPES

ROOT = Path(__file__).parents[2]
FIELDS = {"bench", "store", "callers", "ours_per_s", "peer", "peer_per_s", "ratio", "p50_ms", "p99_ms"}


@pytest.mark.parametrize(("part", "rows"), [("create", 6), ("heartbeat", 4), ("list", 2), ("channel", 1)])
def test_a_quick_run_of_each_comparison_ends_and_writes_its_rows(part: str, rows: int, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--only", part, "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written = json.loads(out.read_text())
    assert written["quick"] is True
    assert written["machine"]["cores"]
    assert written["machine"]["versions"]["fastapi"]
    assert len(written["rows"]) == rows
    for each in written["rows"]:
        assert each.keys() >= FIELDS
        assert min(each["ours_per_s"], each["peer_per_s"], each["ratio"]) > 0
    assert part in done.stdout


def test_an_unknown_part_is_refused_by_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--only", "creat"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "creat" in done.stderr


def test_a_wrong_answer_spoils_the_run() -> None:
    with echo() as target:
        lane = Lane(target, [request(target, "POST", "/", "x", {})], 204)
        with pytest.raises(RuntimeError, match="201"):
            lane.run(2, QUICK)


def test_a_server_that_hangs_up_spoils_the_run() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def scenario() -> list[str]:
        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            figures = await run_plan(Plan("127.0.0.1", port, 2, 0.0, 0.1, 200, ["GET / HTTP/1.1\r\n\r\n"]))
            return list(figures["errors"])

    assert asyncio.run(scenario())


def test_every_request_has_a_number_of_its_own() -> None:
    run = Run(Plan("", 0, 1, 0, 0, 200, [f"a{SLOT}b", "plain"], first=7))
    sent = [run.next_request() for _ in range(4)]
    assert sent == [b"plain", b"a%016xb" % 9, b"plain", b"a%016xb" % 11]


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    mine = [Figures(each, 1.0, 2.0, 0) for each in (100.0, 90.0, 80.0)]
    theirs = [Figures(each, 1.0, 2.0, 0) for each in (10.0, 10.0, 10.0)]
    assert row("create", 1, "peer", mine, theirs).ratio == 9.0
    assert row("list", 1, "few", mine, theirs, cost=True).ratio == 0.11


def test_the_docs_name_the_command_that_makes_the_figures() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    assert "make bench" in text
    assert "python -m bench --quick" in text
    assert "python -m bench --only create,heartbeat,list" in text


def test_the_sizes_of_grants_are_a_table_with_every_command_type() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--only", "sizes"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    counted = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert set(TYPES) <= counted
