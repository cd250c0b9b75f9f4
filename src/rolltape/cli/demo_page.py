"""How the demo looks: a heading, a line for each step, a timeline. Readable without colours too."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.console import Console
from rich.text import Text

from rolltape.cli.exits import plain
from rolltape.clock import Clock
from rolltape.wire.common import Event
from rolltape.wire.times import parse

_LABEL_WIDTH = 12
_RULE_WIDTH = 76


class Page:
    """Where the story is printed."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self.console, self._clock = console, clock
        self._began = clock.monotonic()
        unicode = console.encoding.lower().startswith("utf")
        self._good, self._bad, self._dot = ("✓", "✗", "●") if unicode else ("ok", "!!", "*")

    def heading(self, text: str) -> None:
        """What comes now."""
        self.console.print()
        self.console.print(
            Text.assemble((text, "bold"), (f" {'-' * (_RULE_WIDTH - len(text))}", "dim")), soft_wrap=True
        )

    def step(self, label: str, text: str, note: str = "") -> None:
        """Something that went well, with the seconds since the start."""
        seconds = self._clock.monotonic() - self._began
        line = Text.assemble(
            (f"{seconds:5.1f} s ", "dim"),
            (f"{self._good} ", "bold green"),
            (f"{label:<{_LABEL_WIDTH}}", "bold"),
            plain(text),
            (f"  {plain(note)}" if note else "", "dim"),
        )
        self.console.print(line, soft_wrap=True)

    def broken(self, text: str) -> None:
        """What went wrong."""
        self.console.print(Text.assemble((f"{self._bad} ", "bold red"), (plain(text), "bold")), soft_wrap=True)

    def said(self, text: str = "", style: str = "") -> None:
        """A line as it is: nothing is wrapped, so that it can be copied."""
        self.console.print(Text(plain(text), style=style), soft_wrap=True)

    def waiting(self, text: str) -> AbstractContextManager[Any]:
        """Something moves on a terminal while a thing takes its time."""
        return self.console.status(plain(text)) if self.console.is_terminal else nullcontext()

    def timeline(self, events: Iterable[Event]) -> None:
        """What happened, with the milliseconds since the first of them."""
        first: int | None = None
        for event in events:
            at = parse(event.created_at)
            first = at if first is None else first
            line = Text.assemble(
                (f"{at - first:>7} ms ", "dim"),
                (f"{self._dot} ", _STYLES.get(event.type, "white")),
                f"{event.type:<20}",
                (_about(event), "dim"),
            )
            self.console.print(line, soft_wrap=True)


_STYLES = {
    "command.created": "yellow",
    "command.offered": "blue",
    "command.delivered": "cyan",
    "command.executed": "bold green",
    "command.failed": "bold red",
}


def _about(event: Event) -> str:
    data = event.data
    delivery = data.get("delivery") or {}
    parts = [str(data.get("type", ""))]
    if event.previous_status and event.previous_status != data.get("status"):
        parts.append(f"{event.previous_status} -> {data.get('status')}")
    if event.type == "command.offered" and delivery.get("route"):
        parts.append(f"by {delivery['route']}")
    if event.type in ("command.executed", "command.failed") and delivery.get("evidence"):
        parts.append(f"on the word of: {delivery['evidence']}")
    return plain("  ".join(part for part in parts if part))
