"""The figures of a run in docs/benchmarks.md, between its markers, with the plots beside it."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.report.plots import PLOTS
from bench.report.table import ms, ratio
from bench.rows import Row, met

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- figures: begin (written by `python -m bench.report`) -->", "<!-- figures: end -->"
CAPTIONS = {
    "create": "Calls a second by callers",
    "latency": "Times of a create by callers",
    "ratios": "Ratios with their spread",
    "curves": "Cost by size",
}


def publish(whole: dict[str, Any], rows: list[Row], made: Path, docs: Path = DOCS) -> None:
    """Writes the figures into the page and copies the plots to `img/`. ValueError when the page has no markers."""
    page = docs / "benchmarks.md"
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no lines {BEGIN} and {END}: the figures would have no place")
    (docs / "img").mkdir(exist_ok=True)
    plots = [name for name in PLOTS if (made / f"{name}.png").exists()]
    for name in plots:
        shutil.copyfile(made / f"{name}.png", docs / "img" / f"bench-{name}.png")
    page.write_text(f"{before}{BEGIN}\n\n{figures(whole, rows, plots)}\n\n{END}{after}", "utf-8")


def figures(whole: dict[str, Any], rows: list[Row], plots: Iterable[str]) -> str:
    """All tables, in the order of the page."""
    parts = [f"![{CAPTIONS[name]}](img/bench-{name}.png)" for name in plots]
    for title, chosen, table in _TABLES:
        some = [row for row in rows if chosen(row)]
        if some:
            parts += [f"### {title}", table(some)]
    for title, entries in (("Left out", whole["left_out"]), ("Failed", whole["failed"])):
        if entries:
            parts += [f"### {title}", "\n".join(f"- {what}: {why}" for what, why in entries.items())]
    return "\n\n".join([*parts, _machine(whole)])


def _lines(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    rule = tuple("---" if name in {"what", "store", "peer", "aim"} else "---:" for name in head)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _ratio(row: Row) -> str:
    return f"**{ratio(row.ratio)}** ({ratio(row.ratio_low)} to {ratio(row.ratio_high)})"


def _aim(row: Row) -> str:
    return {None: "-", True: row.target, False: f"{row.target}: **missed**"}[met(row)]


def _times(p50: float, p99: float) -> str:
    return f"{ms(p50)}, {ms(p99)}"


def _compared(rows: list[Row]) -> str:
    head = ("what", "store", "callers", "peer", "ours/s", "peer/s", "ratio", "aim", "ours p50, p99 ms", "peer's")
    return _lines(
        head,
        (
            (
                row.bench,
                row.store,
                str(row.callers),
                row.peer,
                f"{row.ours_per_s:,.0f}",
                f"{row.peer_per_s:,.0f}",
                _ratio(row),
                _aim(row),
                _times(row.p50_ms, row.p99_ms),
                _times(row.peer_p50_ms, row.peer_p99_ms),
            )
            for row in rows
        ),
    )


def _steady(rows: list[Row]) -> str:
    head = ("what", "store", "calls/s", "p50, p99 ms", "server, µs a call", "PostgreSQL, µs", "share of a core", "aim")
    return _lines(
        head,
        (
            (
                row.bench,
                row.store,
                f"{row.ours_per_s:,.0f}",
                _times(row.p50_ms, row.p99_ms),
                f"{row.more['cpu_us']:.0f}",
                f"{row.more['database_us']:.0f}",
                f"{row.more['cpu_us'] * row.ours_per_s / 1e6:.2f}",
                _aim(row),
            )
            for row in rows
        ),
    )


def _channel(rows: list[Row]) -> str:
    head = ("what", "store", "p50, p99, worst ms", "lost", "twice", "aim", "Hono's p50, p99")
    cells = [
        (
            row.bench,
            row.store,
            f"{_times(row.p50_ms, row.p99_ms)}, {row.more['worst_ms']:.1f}",
            f"{row.more['lost']:.0f}",
            f"{row.more['doubled']:.0f}",
            _aim(row),
            _times(row.peer_p50_ms, row.peer_p99_ms),
        )
        for row in rows
    ]
    idle = [f"{value:g} KiB with {name.rpartition('_')[2]}" for name, value in rows[0].more.items() if "idle" in name]
    return _lines(head, cells) + f"\n\nMemory of an idle channel: {', '.join(idle)} of them open."


def _cost(rows: list[Row]) -> str:
    head = ("what", "store", "µs a call, here", "in the small store", "cost ratio", "aim", "p50, p99 ms")
    return _lines(
        head,
        (
            (
                row.bench.removeprefix("cost: "),
                row.store,
                f"{row.more['cpu_us'] + row.more['database_us']:.0f}",
                f"{row.more['small_cpu_us'] + row.more['small_database_us']:.0f}",
                _ratio(row),
                _aim(row),
                _times(row.p50_ms, row.p99_ms),
            )
            for row in rows
        ),
    )


def _is_steady(row: Row) -> bool:
    return " every " in row.bench or row.bench.startswith("create at half")


def _is_channel(row: Row) -> bool:
    return row.bench.startswith("create to offer")


_TABLES: tuple[tuple[str, Callable[[Row], bool], Callable[[list[Row]], str]], ...] = (
    ("Create", lambda row: row.bench == "create", _compared),
    ("Create and its limits", lambda row: row.bench in {"create_unsigned", "create and a limit"}, _compared),
    ("Heartbeats", lambda row: row.bench.startswith("heartbeat") and not _is_steady(row), _compared),
    ("At a steady rate", _is_steady, _steady),
    ("Lists of one device", lambda row: row.bench.startswith("list "), _compared),
    ("The channel", _is_channel, _channel),
    ("Flat cost", lambda row: row.bench.startswith("cost: "), _cost),
)


def _machine(whole: dict[str, Any]) -> str:
    at = whole["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in at["versions"].items())
    others = ", ".join(each for each in (at["postgres"], at["mosquitto"]) if each)
    minutes = whole["took_seconds"] / 60
    load = at["load_before"][0]
    return (
        f"Machine: {at['system']}, {at['processor']}, {at['cores']} cores, {at['memory_gib']:g} GiB, "
        f"Python {at['python']}. The run took {minutes:.0f} minutes, {whole['effort']['rounds']} rounds; "
        f"load average before it: {load:.1f}.\n"
        f"Versions: SQLite {at['sqlite_ours']} (ours) and {at['sqlite_peer']} (the peer's), {others}, {versions}."
    )
