"""The table on standard output."""

from bench.rows import Outcome, Row, met

HEAD = (
    "what", "store", "callers", "ours/s", "peer", "peer/s", "ratio", "from-to", "aim", "p50 ms", "p99 ms",
    "peer p50", "peer p99",
)  # fmt: skip
_LEFT = {"what", "store", "peer", "aim"}


def show(outcome: Outcome) -> None:
    """Prints what was found, what could not be measured and why, and what failed and why."""
    lines = [HEAD, *(cells(row) for row in outcome.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    for line in lines:
        shown = zip(line, widths, HEAD, strict=True)
        print("  ".join(cell.ljust(width) if name in _LEFT else cell.rjust(width) for cell, width, name in shown))
    for head, entries in (("left out", outcome.left_out), ("FAILED", outcome.failed)):
        for what, why in entries.items():
            print(f"{head}: {what}: {why}")


def cells(row: Row) -> tuple[str, ...]:
    """A row as text."""
    return (
        row.bench,
        row.store,
        str(row.callers),
        f"{row.ours_per_s:,.0f}",
        row.peer,
        f"{row.peer_per_s:,.0f}",
        ratio(row.ratio),
        f"{ratio(row.ratio_low)}-{ratio(row.ratio_high)}",
        f"{row.target}{ {True: '', False: ' (missed)', None: '-'}[met(row)] }",
        ms(row.p50_ms),
        ms(row.p99_ms),
        ms(row.peer_p50_ms),
        ms(row.peer_p99_ms),
    )


def ms(value: float) -> str:
    """Milliseconds; a dash where single calls weren't timed."""
    return f"{value:.2f}" if value else "-"


def ratio(value: float) -> str:
    """As many digits as are worth reading."""
    return (
        f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.{2 if value >= 0.1 else 3}f}"
    )
