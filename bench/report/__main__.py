"""`python -m bench.report`: writes the figures of a run into docs/benchmarks.md, and its plots to docs/img/."""

import argparse
import sys
from pathlib import Path

from bench.report.docs import DOCS, publish
from bench.report.plots import draw
from bench.report.saved import read

LATEST = Path(__file__).parents[1] / "out" / "latest.json"


def main(arguments: list[str] | None = None) -> int:
    """0, or 2 with a reason: no such run, one of another schema, or a quick one, whose figures mean nothing."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", default=LATEST, help="a run's JSON; the latest")
    parser.add_argument("--docs", type=Path, default=DOCS, help="another folder with a benchmarks.md")
    chosen = parser.parse_args(arguments)
    try:
        whole, rows = read(chosen.run)
        if whole["quick"]:
            raise ValueError(f"{chosen.run} is of a quick run, whose figures mean nothing: run without --quick")
        draw(rows, chosen.run.parent)
        publish(whole, rows, chosen.run.parent, chosen.docs)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"written to {chosen.docs / 'benchmarks.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
