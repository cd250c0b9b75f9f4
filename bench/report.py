"""The table on standard output, and the JSON with the machine and the versions."""

import json
import os
import platform
import sqlite3
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw

from bench.compare import Row

PACKAGES = (
    "rolltape", "uvicorn", "uvloop", "httptools", "websockets", "msgspec", "apsw", "asyncpg", "cryptography",
    "fastapi", "pydantic", "SQLAlchemy", "aiosqlite", "PyJWT",
)  # fmt: skip
_HEAD = (
    "what",
    "store",
    "callers",
    "ours/s",
    "peer/s",
    "ratio",
    "from-to",
    "aim",
    "p50 ms",
    "p99 ms",
    "peer p50",
    "peer p99",
)


def show(rows: list[Row], ceilings: dict[str, float]) -> None:
    """Prints the table."""
    lines = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEAD))]
    for line in lines:
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells))
    for row in rows:
        if row.more:
            print(f"\n{row.bench}: " + ", ".join(f"{name} {value:g}" for name, value in row.more.items()))
    print("\nlist: the ratio is the cost of a page out of many over that of a page out of few, both of Rolltape.")
    print("ceilings: " + ", ".join(f"{name} {value:,.0f}" for name, value in ceilings.items()))


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.bench,
        row.store,
        str(row.callers),
        f"{row.ours_per_s:,.0f}",
        f"{row.peer_per_s:,.0f}",
        f"{row.ratio:.2f}",
        f"{row.ratio_low:.2f}-{row.ratio_high:.2f}",
        row.target or "-",
        f"{row.p50_ms:.2f}",
        f"{row.p99_ms:.2f}",
        f"{row.peer_p50_ms:.2f}",
        f"{row.peer_p99_ms:.2f}",
    )


def write(path: Path, rows: list[Row], ceilings: dict[str, float], *, quick: bool) -> None:
    """Writes all of it as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"quick": quick, "rows": [asdict(row) for row in rows], "ceilings": ceilings, "machine": machine()}
    path.write_text(json.dumps(whole, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """What it ran on."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite_ours": apsw.sqlite_lib_version(),
        "sqlite_peer": sqlite3.sqlite_version,
        "versions": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()
