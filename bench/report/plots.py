"""Plots of a run, as PNG: what is drawn is what its rows say, and a run without such rows draws nothing of the kind."""

from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.rows import Row

WIDE = (9.0, 5.0)
CREATE, CURVE = "create", "cost: "
_STYLES = {"rolltape": ("o-", 2.4), "fastapi": ("s--", 1.4)}
_CALLS = ("create", "heartbeat", "list page", "device look-up")


def draw(rows: list[Row], folder: Path) -> list[Path]:
    """Writes each plot that there are rows for; the files."""
    drawn = []
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
                         "grid.alpha": 0.25, "legend.frameon": False, "figure.dpi": 110}):  # fmt: skip
        for name, plot in PLOTS.items():
            figure = plot(rows)
            if figure is not None:
                folder.mkdir(parents=True, exist_ok=True)
                figure.savefig(folder / f"{name}.png", bbox_inches="tight", metadata={"Software": None})
                drawn.append(folder / f"{name}.png")
    return drawn


Series = dict[str, dict[int, tuple[float, float, float]]]
"""By name and number of callers: calls a second, p50 and p99 in ms."""


def _series(rows: Iterable[Row]) -> Series:
    """Each thing that took part in create: ours once for each store, and its peers."""
    found: Series = {}
    for row in rows:
        if row.bench == CREATE:
            ours = found.setdefault(f"rolltape on {row.store}", {})
            ours[row.callers] = (row.ours_per_s, row.p50_ms, row.p99_ms)
            if row.peer.rpartition(" on ")[2] in {row.store, row.peer}:  # not the peer on another store than ours
                theirs = found.setdefault(row.peer, {})
                theirs[row.callers] = (row.peer_per_s, row.peer_p50_ms, row.peer_p99_ms)
    return dict(sorted(found.items(), key=lambda each: (not each[0].startswith("rolltape"), each[0])))


def _style(name: str) -> tuple[str, float]:
    return next((style for start, style in _STYLES.items() if name.startswith(start)), (".:", 1.0))


def _rate(rows: list[Row]) -> Figure | None:
    series = _series(rows)
    if not series:
        return None
    figure = Figure(figsize=WIDE)
    axes = figure.subplots()
    for name, points in series.items():
        style, width = _style(name)
        axes.plot(list(points), [rate for rate, _, _ in points.values()], style, linewidth=width, label=name)
    _by_callers(axes, series, "durable calls a second", "One call put away durably: create, and what queues do")
    return figure


def _latency(rows: list[Row]) -> Figure | None:
    series = {name: points for name, points in _series(rows).items() if name.startswith(("rolltape", "fastapi"))}
    if not series:
        return None
    figure = Figure(figsize=WIDE)
    axes = figure.subplots()
    for name, points in series.items():
        style, width = _style(name)
        line = axes.plot(list(points), [p50 for _, p50, _ in points.values()], style, linewidth=width, label=name)[0]
        p99 = [p99 for _, _, p99 in points.values()]
        axes.plot(list(points), p99, ":", color=line.get_color(), linewidth=1.2)
        axes.fill_between(list(points), [p50 for _, p50, _ in points.values()], p99, color=line.get_color(), alpha=0.08)
    _by_callers(axes, series, "milliseconds", "Create: half of the calls are below the line, 99 % below the dots")
    return figure


def _by_callers(axes: Axes, series: Series, label: str, title: str) -> None:
    callers = sorted({each for points in series.values() for each in points})
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(callers, [str(each) for each in callers])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_xlabel("callers")
    axes.set_ylabel(label)
    axes.set_title(title, loc="left")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _ratios(rows: list[Row]) -> Figure | None:
    shown = [row for row in rows if not row.cost and row.target.startswith("at least")]
    if not shown:
        return None
    figure = Figure(figsize=(WIDE[0], 0.32 * len(shown) + 1.2))
    axes = figure.subplots()
    for place, row in enumerate(reversed(shown)):
        aim = float(row.target.rpartition(" ")[2])
        spread = [[max(row.ratio - row.ratio_low, 0)], [max(row.ratio_high - row.ratio, 0)]]
        colour = "tab:green" if row.ratio >= aim else "tab:orange"
        axes.barh(place, row.ratio, xerr=spread, color=colour, height=0.6, error_kw={"linewidth": 1, "capsize": 2})
        axes.plot([aim, aim], [place - 0.4, place + 0.4], color="black", linewidth=1.6)
        axes.annotate(f"{row.ratio:g}", (row.ratio_high, place), (4, 0), textcoords="offset points", va="center")
    labels = [f"{row.bench}, {row.callers} callers, {row.store}" for row in reversed(shown)]
    axes.set_yticks(range(len(shown)), labels)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(visible=False, axis="y")
    axes.set_title("Ours over the peer: median, lowest and highest round; the black stroke is the aim", loc="left")
    return figure


def _curves(rows: list[Row]) -> Figure | None:
    shown = [row for row in rows if row.bench.startswith(CURVE)]
    if not shown:
        return None
    alongs = list(dict.fromkeys(_along(row) for row in shown))
    figure = Figure(figsize=(WIDE[0] + 1, WIDE[1] - 0.8), layout="constrained")
    plots = figure.subplots(1, len(alongs), sharey=True, squeeze=False)[0]
    for axes, along in zip(plots, alongs, strict=True):
        for store, style in (("sqlite", "o-"), ("postgres", "s--")):
            for number, call in enumerate(_CALLS):
                line = [r for r in shown if (_along(r), r.store) == (along, store) and r.bench.startswith(CURVE + call)]
                if line:
                    xs, ys = [line[0].more["from"], *(r.more["at"] for r in line)], [1.0, *(r.ratio for r in line)]
                    low = [0.0, *(max(r.ratio - r.ratio_low, 0) for r in line)]
                    high = [0.0, *(max(r.ratio_high - r.ratio, 0) for r in line)]
                    axes.errorbar(xs, ys, [low, high], fmt=style, color=f"C{number}", capsize=2, linewidth=1.2,
                                  label=f"{call}, {store}")  # fmt: skip
        axes.axhline(1.3, color="black", linewidth=1)
        axes.set_xscale("log")
        axes.set_xlabel(along)
    plots[0].set_ylim(bottom=0)
    plots[0].set_ylabel("processor time for each call, times the small store's")
    figure.suptitle("What a call costs as the store grows (the line: 1.3 times)", x=0.01, ha="left")
    handles, labels = plots[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    return figure


def _along(row: Row) -> str:
    """`cost: create with 10,000 devices` goes along `devices`."""
    return row.bench.partition(" with ")[2].partition(" ")[2]


PLOTS: dict[str, Callable[[list[Row]], Figure | None]] = {
    "create": _rate,
    "latency": _latency,
    "ratios": _ratios,
    "curves": _curves,
}
