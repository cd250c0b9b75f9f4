"""`python -m bench`: measures, prints a table of ratios, and writes bench/out/latest.json."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.channel import compare_channel
from bench.compare import FULL, QUICK, STORES, Effort, Row, compare_create, compare_heartbeat
from bench.limits import limits
from bench.listing import compare_list
from bench.report import show, write
from bench.sizes import print_sizes

PARTS: dict[str, Callable[[Effort], list[Row]]] = {
    "create": compare_create,
    "heartbeat": compare_heartbeat,
    "list": compare_list,
    "channel": compare_channel,
    "sizes": print_sizes,
}
OUT = Path(__file__).parent / "out" / "latest.json"


def main(arguments: list[str] | None = None) -> int:
    """Runs what was asked for; the exit code is 0 when every answer of every server was right."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; the figures mean nothing")
    parser.add_argument("--only", default=",".join(PARTS), help="some of: create,heartbeat,list,channel,sizes")
    parser.add_argument("--stores", default=",".join(STORES), help="some of: sqlite,postgres")
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON goes")
    chosen = parser.parse_args(arguments)
    names = chosen.only.split(",")
    if unknown := set(names) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    stores = tuple(chosen.stores.split(","))
    if strange := set(stores) - set(STORES):
        parser.error(f"unknown: {', '.join(sorted(strange))}; there are {', '.join(STORES)}")
    effort = replace(QUICK if chosen.quick else FULL, stores=stores)
    rows: list[Row] = []
    for name in names:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        rows += PARTS[name](effort)
    if not rows:
        return 0
    ceilings = limits(effort)
    show(rows, ceilings)
    write(chosen.out, rows, ceilings, quick=chosen.quick)
    print(f"\nwritten to {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
