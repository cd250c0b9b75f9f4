"""The simulator's book against the database itself: nothing lost, nothing unasked for, every history whole."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Final, NamedTuple

from msgspec import Struct

from rolltape.simulate.book import Book
from rolltape.wire.command import Command


class CommandRow(NamedTuple):
    """A command as the database has it."""

    id: str
    device_id: str
    n: int
    seq: int
    status: str
    key: str
    offered_routes: int


class EventRow(NamedTuple):
    """An event. `command_id` is None for those of devices."""

    n: int
    id: str
    device_id: str
    command_id: str | None
    type: str
    previous_status: str | None


class Breach(Struct, frozen=True):
    """Something that isn't as it must be. `about`: a command's or a device's id."""

    what: str
    about: str
    why: str


WHATS: Final = ("lost", "not_asked_for", "made_twice", "still_open", "told_otherwise", "seq", "history", "presence")
COMMANDS: Final = (
    "SELECT id, device_id, n, seq, status, idempotency_key, offered_routes FROM commands ORDER BY device_id, n"
)
EVENTS: Final = (
    "SELECT n, id, device_id, command_id, type, previous_status FROM events WHERE device_id IS NOT NULL "
    "ORDER BY device_id, n"
)
LAST_SEQS: Final = "SELECT device_id, last_seq FROM device_bindings"
_BEFORE: Final[Mapping[str, tuple[str, ...]]] = {
    "delivered": ("pending",),
    "expired": ("pending", "delivered"),
    "cancelled": ("pending", "delivered"),
    "executed": ("pending", "delivered", "expired", "cancelled"),
    "failed": ("pending", "delivered", "expired", "cancelled"),
}
"""What a command was before each move: a device's word still lands on what the server believed over."""


def audit(
    book: Book,
    told: Mapping[str, Command | None],
    commands: list[CommandRow],
    events: list[EventRow],
    last_seqs: Mapping[str, int],
) -> list[Breach]:
    """Everything that is wrong. Commands and events come in each device's order; it is one run's database."""
    of_command: dict[str, list[EventRow]] = defaultdict(list)
    for event in events:
        if event.command_id is not None:
            of_command[event.command_id].append(event)
    found = [
        *_against_book(book, commands),
        *_rows(commands),
        *_against_answers(told, commands),
        *_seqs(commands, last_seqs),
    ]
    for row in commands:
        found += [Breach("history", row.id, why) for why in _history(row, of_command.get(row.id, []))]
    gone = sorted(of_command.keys() - {row.id for row in commands})
    found += [Breach("history", id_, "it has events and is no more") for id_ in gone]
    found += _repeated(events)
    return [*found, *_presence(events)]


def _against_book(book: Book, commands: list[CommandRow]) -> Iterator[Breach]:
    there = {row.id for row in commands}
    for entry in book.entries.values():
        if entry.accepted and entry.id not in there:
            yield Breach("lost", entry.id, "the backend saw it accepted")
    unsure = set(book.unsure)
    for row in commands:
        accepted = book.entries.get(row.id)
        if accepted is None or not accepted.accepted:
            if row.key not in unsure:
                yield Breach("not_asked_for", row.id, "no create call of the backend has made it")
        elif accepted.key != row.key:
            yield Breach("made_twice", row.id, f"it was accepted under {accepted.key}, and made under {row.key}")


def _rows(commands: list[CommandRow]) -> Iterator[Breach]:
    for key, count in Counter(row.key for row in commands).items():
        if count > 1:
            yield Breach("made_twice", key, f"one key made {count} commands")
    for row in commands:
        if row.status in ("pending", "delivered"):
            yield Breach("still_open", row.id, f"it is {row.status} when all is over")


def _against_answers(told: Mapping[str, Command | None], commands: list[CommandRow]) -> Iterator[Breach]:
    for row in commands:
        said = told.get(row.id)
        if said is not None and said.status not in ("pending", "delivered", row.status):
            yield Breach("told_otherwise", row.id, f"a node said {said.status}, and the database has {row.status}")


def _seqs(commands: list[CommandRow], last_seqs: Mapping[str, int]) -> Iterator[Breach]:
    for device_id, rows in groupby(commands, key=lambda row: row.device_id):
        seqs = [row.seq for row in rows]
        if seqs != list(range(1, len(seqs) + 1)) or last_seqs.get(device_id) != len(seqs):
            yield Breach("seq", device_id, f"{len(seqs)} commands, last_seq {last_seqs.get(device_id)}: {seqs[:20]}")


def _history(row: CommandRow, events: list[EventRow]) -> Iterator[str]:
    """What is wrong with a command's events."""
    names = [event.type.removeprefix("command.") for event in events]
    if names[:1] != ["created"] or names.count("created") != 1:
        yield f"created {names.count('created')} times: {names}"
    status = "pending"
    for name, event in zip(names, events, strict=True):
        if name not in _BEFORE:
            continue
        if event.previous_status != status or status not in _BEFORE[name]:
            yield f"{name} after {status}, and it says after {event.previous_status}: {names}"
        status = name
    if status != row.status:
        yield f"its events end with {status}, and it is {row.status}: {names}"
    if names.count("offered") != row.offered_routes.bit_count():
        yield f"first offers on {row.offered_routes.bit_count()} routes: {names}"


def _repeated(events: Iterable[EventRow]) -> Iterator[Breach]:
    for id_, count in Counter(event.id for event in events).items():
        if count > 1:
            yield Breach("history", id_, f"{count} events have this id")


def _presence(events: list[EventRow]) -> Iterator[Breach]:
    """Online and offline take turns, whichever nodes noticed."""
    for device_id, mine in groupby(events, key=lambda event: event.device_id):
        turns = [event.type for event in mine if event.type in ("device.online", "device.offline")]
        if turns != [("device.online", "device.offline")[i % 2] for i in range(len(turns))]:
            yield Breach("presence", device_id, f"{turns}")


def rows(kind: Any, found: Iterable[Any]) -> list[Any]:
    """Records of the database as rows of that kind."""
    return [kind(*record) for record in found]
