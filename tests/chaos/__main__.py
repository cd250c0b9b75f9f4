"""`python -m tests.chaos`: ten minutes of chaos, and whether every promise was kept. See docs/chaos.md."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from rolltape.testing.leash import unwind_on_sigterm
from rolltape.testing.postgres import HURRIED, PostgresServer
from tests.chaos.place import Place
from tests.chaos.run import ChaosReport, Plan, run
from tests.chaos.torments import TORMENTS


def main() -> int:
    """One run; 0 where every promise was kept, else 1."""
    wanted = _arguments()
    unwind_on_sigterm()
    plan = Plan(
        commands=wanted.commands,
        seconds=wanted.minutes * 60,
        devices=wanted.devices,
        every=wanted.every,
        ttl=wanted.ttl,
        loss=wanted.loss,
        seed=wanted.seed,
        pace=wanted.pace,
        gap=wanted.gap,
        calm=wanted.calm,
        only=tuple(wanted.only or ()),
    )
    folder = tempfile.TemporaryDirectory(prefix="rolltape-chaos-") if wanted.keep is None else None
    place_folder = Path(folder.name) if folder is not None else wanted.keep
    place_folder.mkdir(parents=True, exist_ok=True)
    database = PostgresServer(HURRIED if wanted.hurried else ())
    try:
        with Place(place_folder, database, "chaos") as place:
            report = run(place, plan, _Figures())
    finally:
        database.close()
        if folder is not None:
            folder.cleanup()
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    wanted.out.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    print(told(report))
    print(f"The whole report: {wanted.out}")
    return 0 if report.is_kept else 1


def told(report: ChaosReport) -> str:
    """The report for people."""
    fleet, commands = report.simulate, report.simulate.commands
    ends = ("executed", "failed", "expired", "cancelled", "open")
    lines = [
        f"seed {report.seed}, {report.machine}, {report.seconds:.0f} s in all, {fleet.seconds:.0f} s of commands",
        f"{fleet.devices} devices, {commands.created:,} commands created: "
        + ", ".join(f"{getattr(commands, end):,} {end}" for end in ends)
        + f"; {commands.unsure} without an answer, refused {commands.refused or 'none'}; {report.events:,} events",
        f"failures: {commands.failures}",
        f"create to answer: p50 {fleet.accepting.p50_ms} ms, p99 {fleet.accepting.p99_ms}, "
        f"worst {fleet.accepting.worst_ms}; create to deed: p50 {fleet.delay.p50_ms} ms, p99 {fleet.delay.p99_ms}, "
        f"worst {fleet.delay.worst_ms}; true time to {fleet.true_time_error_ms} ms",
        f"devices asked {fleet.figures.get('calls', 0):,} things; had no answer, or no connection, "
        f"{fleet.figures.get('no_answer', 0):,} times; power cuts {fleet.figures.get('power_cuts', 0):,}",
        "torments, and seconds from the beginning of each until all nodes served again:",
        *(
            f"  {name:28} {one.times:4} times, median {one.median_s}, worst {one.worst_s}"
            for name, one in report.torments.items()
        ),
        f"by the book:     {fleet.broken}; unsettled {fleet.unsettled}",
        f"by the database: {report.audit}",
        *(f"  {one.promise}: {one.command_id}: {one.why}" for one in fleet.examples),
        *(f"  {one.what}: {one.about}: {one.why}" for one in report.examples),
        *(f"  fault: {fault}" for fault in report.faults),
        "Every promise was kept." if report.is_kept else "A PROMISE WAS BROKEN.",
    ]
    return "\n".join(lines)


class _Figures:
    """Live figures on standard error: one line, again and again on a terminal, and now and then elsewhere."""

    def __init__(self) -> None:
        self._next = 0.0
        self._begun = time.monotonic()

    def __call__(self, figures: dict[str, str]) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        is_seen = sys.stderr.isatty()
        self._next = now + (0.5 if is_seen else 15.0)
        line = (
            f"{now - self._begun:5.0f} s {figures['phase']}: {figures['commands']}, {figures['the devices say']}; "
            f"{figures['without an answer']}; {figures['connections']}; torment: {figures['torment']}"
        )
        sys.stderr.write(f"\r\x1b[K{line}" if is_seen else f"{line}\n")
        sys.stderr.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long commands are created (%(default)g)")
    parser.add_argument("--commands", type=int, default=100_000, help="how many, in that time (%(default)d)")
    parser.add_argument("--devices", type=int, default=1500, help="half on heartbeats, half on channels (%(default)d)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between heartbeats (%(default)g)")
    parser.add_argument("--ttl", type=int, default=60, help="seconds that most commands are good for (%(default)d)")
    parser.add_argument("--loss", type=float, default=0.05, help="the part of all calls that get lost (%(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="what chance does (%(default)d)")
    parser.add_argument("--pace", type=float, default=1.0, help="how long torments last, 1: in full (%(default)g)")
    parser.add_argument("--gap", type=float, default=4.0, help="longest calm between two torments, s (%(default)g)")
    parser.add_argument("--calm", action="store_true", help="no torment: what to compare with")
    parser.add_argument("--only", nargs="+", choices=list(TORMENTS), metavar="TORMENT", help="no others than these")
    parser.add_argument("--hurried", action="store_true", help="a PostgreSQL that doesn't wait for its disk")
    parser.add_argument("--keep", type=Path, default=None, help="a folder for the servers' data and log, kept")
    parser.add_argument("--out", type=Path, default=Path("bench/out/chaos.json"), help="the report (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
