"""Writes the parts of docs/ that are made from the code. `make docs` runs it; test_generated.py compares."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from bench.parts import sizes

from bench import plan
from rolltape.config import Settings
from rolltape.domain import lifecycle
from rolltape.testing import answer_vectors, cose_layout, receipt_vectors
from rolltape.testing.cwt_making import GOOD, GOOD_MAC
from rolltape.wire.keys import un_b64url
from tests.docs.phone_round import phone_round

ROOT = Path(__file__).parents[2]


def _shown(default: object) -> object:
    return ("no", "yes")[default] if isinstance(default, bool) else default


def settings_page() -> str:
    """docs/settings.md, from config.Settings."""
    lines = [
        "# Settings",
        "",
        "Read once, at the start, from the environment; options of `rolltape serve` go before. Generated from",
        "`src/rolltape/config.py` by `make docs`.",
        "",
        "| variable | takes | default | what |",
        "| --- | --- | --- | --- |",
    ]
    for each in fields(Settings):
        told = each.metadata
        default = "none" if each.default is None else f"`{_shown(each.default)}`"
        lines.append(f"| `{told['variable']}` | {told['read'].__doc__} | {default} | {told['what']} |")
    lines += [
        "",
        "The recorder and the command line have settings of their own: `rolltape recorder --help` and",
        "`rolltape --help` name the variable of each option.",
    ]
    return "\n".join(lines) + "\n"


def lifecycle_diagram() -> str:
    """The mermaid diagram of a command's life, from lifecycle.MOVES."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> pending: create (backend)"]
    for move in lifecycle.MOVES:
        elsewhere = [source for source in move.sources if source != move.target]
        lines += [f"    {source} --> {move.target}: {move.name} ({move.actor})" for source in elsewhere]
    return "\n".join([*lines, "```"])


def lifecycle_table() -> str:
    """The same as a table."""
    lines = ["| move | from | to | made by | when |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {move.name} | {', '.join(move.sources)} | {move.target} | {move.actor} | {move.why} |"
        for move in lifecycle.MOVES
    ]
    return "\n".join(lines)


def with_part(text: str, name: str, part: str) -> str:
    """`text` with what is between the two markers of `name` replaced."""
    begin, end = f"<!-- {name}: made from the code -->", f"<!-- end of {name} -->"
    head, rest = text.split(begin)
    return f"{head}{begin}\n{part}\n{end}{rest.split(end)[1]}"


def lifecycle_page(text: str) -> str:
    """docs/lifecycle.md with its generated parts."""
    return with_part(with_part(text, "diagram", lifecycle_diagram()), "moves", lifecycle_table())


def envelope_part(data: bytes, payload: Mapping[int, Any]) -> str:
    """An envelope, piece by piece, and the whole of it in hex."""
    whole = "\n".join(data.hex()[at : at + 96] for at in range(0, 2 * len(data), 96))
    return f"```text\n{cose_layout.listing(data, payload)}\n```\n\nAll {len(data)} bytes:\n\n```text\n{whole}\n```"


def grants_page(text: str) -> str:
    """docs/grants.md with its generated parts."""
    text = with_part(text, "grant as bytes", envelope_part(GOOD, cose_layout.GRANT))
    text = with_part(text, "MAC as bytes", envelope_part(GOOD_MAC, cose_layout.GRANT))
    return with_part(text, "sizes", sizes.markdown())


def answers_page(text: str) -> str:
    """docs/answers.md with its generated parts."""
    text = with_part(text, "answer as bytes", envelope_part(answer_vectors.GO, cose_layout.ANSWER))
    receipt = un_b64url(receipt_vectors.GOOD)
    return with_part(text, "receipt as bytes", envelope_part(receipt, cose_layout.RECEIPT))


def phone_page(text: str) -> str:
    """docs/phone.md with its round."""
    return with_part(text, "round", phone_round())


def scaling_page(text: str) -> str:
    """docs/scaling.md with the plan's arithmetic."""
    return with_part(text, "plan", plan.table([plan.plan(devices) for devices in plan.FLEETS]))


PAGES = {
    "docs/settings.md": lambda text: settings_page(),
    "docs/lifecycle.md": lifecycle_page,
    "docs/grants.md": grants_page,
    "docs/answers.md": answers_page,
    "docs/phone.md": phone_page,
    "docs/scaling.md": scaling_page,
}


def main() -> None:
    """Writes every page."""
    for name, make in PAGES.items():
        path = ROOT / name
        path.write_text(make(path.read_text("utf-8") if path.exists() else ""), "utf-8")


if __name__ == "__main__":
    main()
