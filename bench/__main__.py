"""`python -m bench`: runs every comparison, prints a table, and writes bench/out/latest.json with plots beside it."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.curves.part import compare_curves
from bench.effort import CALLERS, FOLLOWED, FULL, QUICK, STORES, Effort
from bench.parts.channel import compare_channel
from bench.parts.create import compare_create
from bench.parts.heartbeat import compare_heartbeat
from bench.parts.limits import compare_limits
from bench.parts.listing import compare_list
from bench.parts.pools import measure_pools
from bench.parts.sizes import print_sizes
from bench.parts.steady import compare_steady
from bench.report.plots import draw
from bench.report.saved import write
from bench.report.table import show
from bench.session import Session
from rolltape.testing.leash import unwind_on_sigterm

PARTS: dict[str, Callable[[Session], None]] = {
    "create": compare_create,
    "limits": compare_limits,
    "heartbeat": compare_heartbeat,
    "steady": compare_steady,
    "list": compare_list,
    "channel": compare_channel,
    "curves": compare_curves,
    "sizes": print_sizes,
}
ON_REQUEST: dict[str, Callable[[Session], None]] = {"pools": measure_pools}
OUT = Path(__file__).parent / "out" / "latest.json"


def main(arguments: list[str] | None = None) -> int:
    """Runs what was asked for; the exit code is 0 when nothing failed. What is left out, and why, is told."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    parts = PARTS | ON_REQUEST
    names = _some_of(parser, chosen.only, tuple(parts))
    effort = _effort(parser, chosen)
    if chosen.scratch is not None:
        chosen.scratch.mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = os.environ["TMPDIR"] = str(chosen.scratch.resolve())  # of the servers' processes too
    unwind_on_sigterm()
    session = Session(effort)
    with session.stack:
        for name in names:
            session.say(f"== {name}")
            with session.guarded(name):
                parts[name](session)
    _report(session, chosen.out, quick=chosen.quick)
    return 1 if session.outcome.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; the figures mean nothing")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of: {','.join(PARTS)}; or pools")
    parser.add_argument("--stores", default=",".join(STORES), help=f"some of: {','.join(STORES)}")
    parser.add_argument("--callers", help=f"numbers of callers of create; {','.join(map(str, CALLERS))}")
    parser.add_argument("--follow", default=",".join(FOLLOWED), help=f"curves of some of: {','.join(FOLLOWED)}")
    parser.add_argument("--rounds", type=int, help=f"rounds of each comparison; {FULL.rounds}")
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON goes, and the plots beside it")
    parser.add_argument("--scratch", type=Path, help="where stores are made; else the system's place for such things")
    return parser


def _some_of(parser: argparse.ArgumentParser, said: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(said.split(","))
    if unknown := set(names) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return names


def _effort(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> Effort:
    effort = QUICK if chosen.quick else FULL
    effort = replace(effort, stores=_some_of(parser, chosen.stores, STORES))
    effort = replace(effort, followed=_some_of(parser, chosen.follow, FOLLOWED))
    if chosen.callers is not None:
        numbers = tuple(int(each) if each.isdigit() else 0 for each in chosen.callers.split(","))
        if not all(0 < number <= 1000 for number in numbers):
            parser.error(f"--callers {chosen.callers}: numbers from 1 to 1000, with commas")
        effort = replace(effort, callers=numbers)
    if chosen.rounds is not None:
        if chosen.rounds < 1:
            parser.error(f"--rounds {chosen.rounds}: at least 1")
        effort = replace(effort, rounds=chosen.rounds, curve_rounds=min(chosen.rounds, effort.curve_rounds))
    return effort


def _report(session: Session, out: Path, *, quick: bool) -> None:
    if session.outcome.rows or session.outcome.failed:
        show(session.outcome)
        took = time.monotonic() - session.began
        write(out, session.outcome, session.effort, quick=quick, seconds=took, load_before=session.load_before)
        with session.guarded("plots"):
            draw(session.outcome.rows, out.parent)
        print(f"\nwritten to {out}")


if __name__ == "__main__":
    sys.exit(main())
