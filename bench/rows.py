"""One line of the table, and how it is made of rounds."""

import statistics
from dataclasses import dataclass, field

from bench.load.run import Figures

SCHEMA = 2
"""Of the JSON. Rows of one schema can be compared from run to run: a field keeps its name and its meaning."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. `ratio` is ours over the peer's, or, where `cost`, what ours costs over what the peer costs.

    `ratio_low` and `ratio_high` are of single rounds. `target` is the aim in words (`met` reads it), `note` what the
    peer does less or more, `more` further figures by name: numbers alone, each name with its unit.
    """

    bench: str
    store: str
    callers: int
    ours_per_s: float
    peer: str
    peer_per_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    p50_ms: float
    p99_ms: float
    peer_p50_ms: float
    peer_p99_ms: float
    rounds: int
    target: str = ""
    cost: bool = False
    note: str = ""
    more: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """What a run found: rows, what could not be measured here (and why), and what failed (and why)."""

    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def row(
    bench: str,
    callers: int,
    peer_name: str,
    mine: list[Figures],
    theirs: list[Figures],
    *,
    store: str,
    target: str = "",
    cost: bool = False,
    note: str = "",
    more: dict[str, float] | None = None,
) -> Row:
    """Medians over the rounds; the ratio is the median of the rounds' own ratios."""
    ratios = [b.per_s / a.per_s if cost else a.per_s / b.per_s for a, b in zip(mine, theirs, strict=True)]
    return Row(
        bench=bench,
        store=store,
        callers=callers,
        ours_per_s=median(mine, "per_s"),
        peer=peer_name,
        peer_per_s=median(theirs, "per_s"),
        ratio=significant(statistics.median(ratios)),
        ratio_low=significant(min(ratios)),
        ratio_high=significant(max(ratios)),
        p50_ms=median(mine, "p50_ms"),
        p99_ms=median(mine, "p99_ms"),
        peer_p50_ms=median(theirs, "p50_ms"),
        peer_p99_ms=median(theirs, "p99_ms"),
        rounds=len(mine),
        target=target,
        cost=cost,
        note=note,
        more=more or {},
    )


def significant(ratio: float) -> float:
    """To four digits, however small: a ratio never becomes nothing."""
    return float(f"{ratio:.4g}")


def median(figures: list[Figures], name: str) -> float:
    """The median of one figure over the rounds."""
    values: list[float] = [getattr(each, name) for each in figures]
    return round(statistics.median(values), 3)


def met(row: Row) -> bool | None:
    """Whether the aim is met: `at least X` and `at most X` are of the ratio, `p99 at most X` of ms. None: no aim."""
    if not row.target:
        return None
    what, _, number = row.target.rpartition(" ")
    if what == "at least":
        return row.ratio >= float(number)
    return (row.p99_ms if what.startswith("p99") else row.ratio) <= float(number)
