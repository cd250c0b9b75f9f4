"""docs/api.md against the table of operations."""

from pathlib import Path

from rolltape.web.limits import BURST_FACTOR
from rolltape.web.operation import Operation
from rolltape.web.params import WAIT_MAX_SEC
from rolltape.web.table import OPERATIONS
from rolltape.web.waiting import POLLS_PER_DEVICE

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")


def row(op: Operation) -> str:
    """How the page tells of an operation."""
    who = [f"`{op.scope}`"] if op.scope else []
    who += ["device token"] if op.device else []
    who += ["relay token"] if op.relay else []
    who = ["signed URL"] if op.signed else who
    return f"| `{op.method} {op.path}` | {' or '.join(who) or 'anybody'} | {op.summary} |"


def test_the_page_lists_all_operations_as_they_are() -> None:
    listed = [line for line in TEXT.partition("## All operations")[2].splitlines() if line.startswith("| `")]
    assert listed == [row(op) for op in OPERATIONS]


def test_the_numbers_on_the_page_are_those_of_the_code() -> None:
    assert (BURST_FACTOR, WAIT_MAX_SEC, POLLS_PER_DEVICE) == (10, 60, 2)
    for words in ("ten times that", "0 to 60 seconds", "two polls open"):
        assert words in TEXT
