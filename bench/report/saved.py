"""The JSON of a run: written, and read again."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.effort import Effort
from bench.report.machine import machine
from bench.rows import SCHEMA, Outcome, Row, met


def write(
    path: Path, outcome: Outcome, effort: Effort, *, quick: bool, seconds: float, load_before: tuple[float, ...]
) -> None:
    """Writes all of it. `met`: whether a row's aim is met, null where it has none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "schema": SCHEMA,
        "quick": quick,
        "took_seconds": round(seconds),
        "rows": [asdict(row) | {"met": met(row)} for row in outcome.rows],
        "left_out": outcome.left_out,
        "failed": outcome.failed,
        "effort": asdict(effort),
        "machine": {**machine(), "load_before": list(load_before)},
    }
    path.write_text(json.dumps(whole, indent=2) + "\n")


def read(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """All of it, and its rows. ValueError when it is of another schema."""
    whole: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if whole.get("schema") != SCHEMA:
        raise ValueError(f"{path} has schema {whole.get('schema')}, and this is {SCHEMA}: run the benchmarks again")
    return whole, [Row(**{k: v for k, v in each.items() if k != "met"}) for each in whole["rows"]]
