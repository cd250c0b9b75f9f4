"""docs/errors.md against the codes and the one map to HTTP."""

import re
from pathlib import Path

from rolltape.codes import Code
from rolltape.web.errors import STATUS
from rolltape.web.operation import BODY_LIMIT, HEARTBEAT_LIMIT

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.read_text("utf-8").splitlines()
    if line.startswith("| `")
]


def test_every_code_has_one_row_with_its_status_in_the_order_of_the_code() -> None:
    found = [(row[0].strip("`"), int(row[1])) for row in ROWS]
    assert found == [(code.value, STATUS[code]) for code in Code]


def test_every_row_says_what_it_means_what_to_do_and_whether_to_retry() -> None:
    for row in ROWS:
        assert len(row) == 6, row[0]
        assert all(row), row[0]
        assert re.match(r"(no|yes|maybe)\b", row[4]), row[0]
        assert re.match(r"(no|wait|once it fits|with an idempotency key)\b", row[5]), row[0]


def test_the_page_names_the_limits_that_hold() -> None:
    assert (BODY_LIMIT, HEARTBEAT_LIMIT) == (64 * 1024, 1024**2)
    assert "64 KiB, a heartbeat 1 MiB" in PAGE.read_text("utf-8")
