"""How many bytes a grant has, in each encoding and with each kind of key: counted, not measured."""

from typing import Any

from bench.session import Session
from rolltape.testing.answer_vectors import ALL, GO, TIME, answer_of, facts
from rolltape.testing.receipt_vectors import GOOD, GOOD_JWS
from rolltape.testing.vector_world import GEN, HMAC, IAT, NOW, SIGNER, claims
from rolltape.wire import cwt, grant
from rolltape.wire.claims import Claims
from rolltape.wire.keys import un_b64url

GRANTS: dict[str, dict[str, Any]] = {
    "start_recording": {},
    "start_recording, `seq` and `gen` 2^53": {"seq": 2**53, "gen": 2**53},
    "start_recording, not good at once": {"nbf": IAT + 60},
    "stop_recording": {"type": "stop_recording", "params": {}},
    "trigger_upload": {"type": "trigger_upload", "params": {}},
    "factory_reset": {"type": "factory_reset", "params": {}},
}
"""What is counted: the grant of the vectors, whose ids a server could have made, with some claims replaced."""
HEAD = ("grant", "JWT EdDSA", "CWT EdDSA", "JWT HS256", "CWT HMAC 256/64")
OTHER_HEAD = ("other", "bytes on the air", "characters of text")


def grant_rows() -> list[tuple[str, ...]]:
    """A row for each kind of grant: characters of the JWT, bytes of the CWT, for each kind of key."""
    rows: list[tuple[str, ...]] = []
    for name, changed in GRANTS.items():
        said = Claims(**claims(**changed))
        counts = [len(make(said, key)) for key in (SIGNER, HMAC) for make in (grant.sign, cwt.sign)]
        rows.append((name, *map(str, counts)))
    return rows


def other_rows() -> list[tuple[str, ...]]:
    """The same of answers and receipts."""
    answers = {"answer: time alone": TIME, "answer: go": GO, "answer: all there is": ALL}
    answers["answer: go, by HMAC 256/64"] = answer_of(facts(NOW, GEN, True), HMAC)
    rows: list[tuple[str, ...]] = [(name, str(len(data)), "-") for name, data in answers.items()]
    rows.append(("receipt of a report, compact", str(len(un_b64url(GOOD))), str(len(GOOD))))
    rows.append(("receipt of a report, in JSON", "-", str(len(GOOD_JWS))))
    return rows


def print_sizes(_: Session) -> None:
    """Prints the tables; there is nothing to compare."""
    for head, rows in ((HEAD, grant_rows()), (OTHER_HEAD, other_rows())):
        lines = [head, *rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        for name, *cells in lines:
            print(name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)))
        print()


def markdown() -> str:
    """The tables for docs/grants.md."""
    lines = []
    for head, rows in ((HEAD, grant_rows()), (OTHER_HEAD, other_rows())):
        lines += [_line(head), _line(["---", *["---:"] * (len(head) - 1)]), *map(_line, rows), ""]
    return "\n".join(lines).strip()


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
