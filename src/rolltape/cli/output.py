"""What the shell prints: tables for people, JSON for programs."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

from rolltape.cli.exits import plain

if TYPE_CHECKING:
    from rich.console import Console

Column = tuple[str, Callable[[Any], object]]
_WIDE = 1000
_MISSING = "-"


class Output:
    """Where results go. `as_json`: one JSON document on standard output, or one a line where things come one by one.

    Hints for people go to standard error, so that standard output is only what was asked for.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def document(self, value: Any) -> None:
        """One JSON document: in lines on a terminal, on one line elsewhere."""
        import msgspec

        body = msgspec.json.encode(value)
        if sys.stdout.isatty():
            body = msgspec.json.format(body, indent=2)
        _write(body)

    def line(self, value: Any, text: str) -> None:
        """One of several things as it comes: JSON on a line of its own, or `text`."""
        if self.as_json:
            import msgspec

            _write(msgspec.json.encode(value))
        else:
            console().print(plain(text), markup=False, highlight=False)

    def item(self, value: Any, fields: Sequence[Column]) -> None:
        """One object: all of it as JSON, or the fields that people look for."""
        if self.as_json:
            self.document(value)
            return
        from rich.table import Table

        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, read in fields:
            table.add_row(name, cell(read(value)))
        console().print(table)

    def rows(self, values: Iterable[Any], columns: Sequence[Column], *, none: str) -> None:
        """A list: an array as JSON, or a table; `none` says that it is empty."""
        listed = list(values)
        if self.as_json:
            self.document(listed)
            return
        if not listed:
            self.hint(none)
            return
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name, _ in columns:
            table.add_column(name, overflow="fold", no_wrap=name.lower() == "id")  # an id that is cut can't be copied
        for value in listed:
            table.add_row(*(cell(read(value)) for _, read in columns))
        console().print(table)

    def done(self, value: Any, text: str) -> None:
        """That something was done: `value` as JSON, or a sentence."""
        if self.as_json:
            self.document(value)
        else:
            console().print(plain(text), markup=False, highlight=False)

    def hint(self, text: str) -> None:
        """Something for people only."""
        if not self.as_json:
            sys.stderr.write(plain(text) + "\n")


def _write(document: bytes) -> None:
    """One JSON document and a line end: always UTF-8, whatever the terminal speaks."""
    sys.stdout.flush()
    sys.stdout.buffer.write(document + b"\n")
    sys.stdout.flush()


def console(*, stderr: bool = False) -> "Console":
    """The console: coloured on a terminal; elsewhere plain, and as wide as it takes, so that nothing is broken."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _WIDE, soft_wrap=False)


def cell(value: object) -> Any:
    """A value in a table."""
    from rich.text import Text

    if value is None or value == "":
        return Text(_MISSING, style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list | tuple):
        return Text(plain(", ".join(str(one) for one in value))) if value else Text(_MISSING, style="dim")
    if isinstance(value, dict):
        import msgspec

        return Text(msgspec.json.encode(value).decode())
    text = plain(str(value))
    return Text(text, style=_STYLES.get(text, ""))


_STYLES = {
    "executed": "green",
    "uploaded": "green",
    "pending": "yellow",
    "delivered": "cyan",
    "failed": "red",
    "integrity_failure": "red",
    "expired": "red",
    "cancelled": "magenta",
}


def fields_of(value: Mapping[str, Any]) -> list[Column]:
    """Every field of a dict, in its order."""

    def column(name: str) -> Column:
        return name, lambda row: row[name]

    return [column(name) for name in value]


def size(count: int | None) -> str | None:
    """Bytes for people: 12.3 MB (powers of 1000)."""
    if count is None:
        return None
    amount, unit = float(count), 0
    while amount >= 1000 and unit < 4:
        amount, unit = amount / 1000, unit + 1
    return f"{count} B" if unit == 0 else f"{amount:.1f} {('B', 'kB', 'MB', 'GB', 'TB')[unit]}"


def length(ms: int | None) -> str | None:
    """A duration for people: 1:02:03.4."""
    if ms is None:
        return None
    minutes, rest = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest / 1000:04.1f}"


def transfer_bar(
    label: str, out: Output, *, of: Literal["bytes", "rows"] = "bytes"
) -> AbstractContextManager[Callable[[int, int], None] | None]:
    """A progress bar on standard error, as the callback that moves it; None where nobody looks."""
    if out.as_json or not sys.stderr.isatty():
        return nullcontext(None)
    return _bar(label, of)


def _bar(label: str, of: Literal["bytes", "rows"]) -> AbstractContextManager[Callable[[int, int], None] | None]:
    from contextlib import contextmanager

    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    @contextmanager
    def shown() -> Any:
        amount = DownloadColumn() if of == "bytes" else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
        with Progress(*columns, console=console(stderr=True)) as progress:
            task = progress.add_task(plain(label).replace("[", "\\["), total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)

    bar: AbstractContextManager[Callable[[int, int], None] | None] = shown()
    return bar
