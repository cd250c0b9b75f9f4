"""The promises, one by one: what the devices did, by the simulator's own book, against what the server says."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, Literal

from msgspec import Struct

from rolltape.codes import Failure
from rolltape.simulate.book import Book, Entry, Word
from rolltape.wire.command import Command

Promise = Literal["lost", "executed_twice", "executed_after_expiry", "wrong_final_state"]
PROMISES: Final[tuple[Promise, ...]] = ("lost", "executed_twice", "executed_after_expiry", "wrong_final_state")
SLACK_MS: Final = 1000
"""A command is `expired` to within a second of its expiry."""
_OPEN: Final = ("pending", "delivered")
_SPOKEN: Final = ("executed", "failed")


class Broken(Struct, frozen=True):
    """A promise that was not kept, and how one can tell."""

    promise: Promise
    command_id: str
    device: int
    why: str


def broken(book: Book, told: Mapping[str, Command | None], now_ms: int) -> list[Broken]:
    """Every broken promise. `told`: how each command of the book stands on the server; None: unknown there.

    `now_ms`: true time before the server was asked.
    """
    found = []
    for entry in book.entries.values():
        if not entry.accepted and not entry.acts:
            continue  # of an earlier run, and nothing was done for it
        for promise, why in _breaches(entry, told.get(entry.id), now_ms):
            found.append(Broken(promise, entry.id, entry.device, why))
    return found


def _breaches(entry: Entry, said: Command | None, now_ms: int) -> Iterator[tuple[Promise, str]]:
    if len(entry.acts) > 1:
        yield "executed_twice", f"the device did it {len(entry.acts)} times"
    late = [act for act in entry.acts if act.is_late]
    if late and entry.type != "stop_recording":  # a stop of what records is obeyed whatever the clock says
        yield "executed_after_expiry", f"the device did it {late[0].at_ms - late[0].exp_ms} ms after its expiry"
    if said is not None:
        whys = list(_wrong(entry, said, now_ms))
        if whys:
            yield "wrong_final_state", "; ".join(whys)
    elif entry.acts or entry.word is not None:
        yield "wrong_final_state", "the device knows it, and the server doesn't"
    else:
        yield "lost", "it was accepted, and neither the server nor the device knows it"


def _wrong(entry: Entry, said: Command, now_ms: int) -> Iterator[str]:
    """What is wrong with the state that the server shows."""
    word, status = entry.word, said.status
    if word is not None and (entry.told or status in _SPOKEN) and _of(said) != word:
        yield f"the server says {_shown(_of(said))}, and the device has said {_shown(word)}"
    if word is None and status in _SPOKEN:
        yield f"the server says {status}, and the device has not said so"
    if status == "executed" and not entry.acts:
        yield "the server says executed, and the device has done nothing"
    if status == "failed" and entry.acts and said.error is not None and said.error.code != Failure.INTERRUPTED:
        yield f"the server says failed ({said.error.code}), and the device did it"
    if status in _OPEN and entry.expires_ms and now_ms >= entry.expires_ms + SLACK_MS:
        yield f"the server says {status} {now_ms - entry.expires_ms} ms after its expiry"
    if entry.cancelled and entry.acts:
        yield "the server took back what the device then did, or let it be done after"


def _of(said: Command) -> Word:
    return Word(said.status, None if said.error is None else said.error.code, said.result)


def _shown(word: Word) -> str:
    return f"{word.status} ({word.code})" if word.code else word.status


def is_settled(entry: Entry, said: Command | None, *, in_hand: bool) -> bool:
    """Whether nothing more can become of it: the device has said its word, or will never have one.

    `said`: how it stands on the server; None: unknown there.
    """
    if entry.word is not None:
        return entry.told
    return not in_hand and (entry.dropped or said is None or said.status not in _OPEN)


def endings(book: Book, told: Mapping[str, Command | None]) -> Counter[str]:
    """How the accepted commands stand on the server, counted by status; `unknown` for what it doesn't know."""
    counts: Counter[str] = Counter()
    for entry in book.entries.values():
        if entry.accepted:
            said = told.get(entry.id)
            counts["unknown" if said is None else said.status] += 1
    return counts


def failures(told: Mapping[str, Command | None]) -> Counter[str]:
    """Why commands failed, counted by code."""
    return Counter(
        said.error.code for said in told.values() if said is not None and said.status == "failed" and said.error
    )
