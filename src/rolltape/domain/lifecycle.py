"""The life of a command. Everybody who moves one asks here first; this file asks nobody.

A command is *open* while it is `pending` or `delivered`, and *terminal* after that. `MOVES` is the whole story: which
move exists, from where to where, and who may make it. The functions below decide one question each, from facts alone;
the store then makes the move as one guarded write with its event. docs/lifecycle.md draws the diagram from `MOVES`.

Terminal isn't the last word where the device has not yet spoken: what the server closed on its own (`expired`,
`cancelled`) becomes `executed` or `failed` when a report lands later, because a status is the best evidence received
so far, and never a guess.
"""

from dataclasses import dataclass
from typing import Final, Literal

from rolltape.wire.command import CommandType, Evidence, Status

Actor = Literal["backend", "device", "clock", "server"]


@dataclass(frozen=True, slots=True)
class Move:
    """One way from a status to another."""

    name: str
    sources: tuple[Status, ...]
    target: Status
    actor: Actor
    why: str


OPEN: Final[tuple[Status, ...]] = ("pending", "delivered")
TERMINAL: Final[tuple[Status, ...]] = ("executed", "failed", "expired", "cancelled")
WITHOUT_THE_DEVICES_WORD: Final[tuple[Status, ...]] = ("pending", "delivered", "expired", "cancelled")
WITH_THE_DEVICES_WORD: Final[tuple[Status, ...]] = ("executed", "failed")

ACKNOWLEDGE = Move(
    "acknowledge", ("pending",), "delivered", "device", "it says that it has the command and asks for a go"
)
EXECUTED = Move("report executed", WITHOUT_THE_DEVICES_WORD, "executed", "device", "it says that it did it")
FAILED = Move("report failed", WITHOUT_THE_DEVICES_WORD, "failed", "device", "it says that it could not")
CORRECT_EXECUTED = Move(
    "correct to executed", WITH_THE_DEVICES_WORD, "executed", "device", "stronger evidence says otherwise"
)
CORRECT_FAILED = Move(
    "correct to failed", WITH_THE_DEVICES_WORD, "failed", "device", "stronger evidence says otherwise"
)
EXPIRE = Move("expire", OPEN, "expired", "clock", "expires_at has passed")
CANCEL = Move("cancel", ("pending",), "cancelled", "backend", "it was asked to, before the device had it")
SUPERSEDE = Move("supersede", ("pending",), "cancelled", "server", "a newer stop clears the way")
CLOSE = Move("close", OPEN, "cancelled", "backend", "the device was unbound, deleted or reset")

MOVES: Final[tuple[Move, ...]] = (
    ACKNOWLEDGE,
    EXECUTED,
    FAILED,
    CORRECT_EXECUTED,
    CORRECT_FAILED,
    EXPIRE,
    CANCEL,
    SUPERSEDE,
    CLOSE,
)

EVIDENCE_STRENGTH: Final[dict[Evidence | None, int]] = {
    None: 0,
    "offered": 1,
    "relay": 2,
    "device": 3,
    "device_signed": 4,
}


def is_open(status: Status) -> bool:
    """Whether the command can still be acknowledged."""
    return status in OPEN


def is_due(status: Status, expires_at: int, now: int) -> bool:
    """Whether the clock must close it: open at or after `expires_at` (ms)."""
    return status in OPEN and now >= expires_at


def may_go(type_: CommandType, status: Status, seq: int, last_stop_seq: int) -> bool:
    """Rule 2: go or no-go. No-go when it is closed, or is a start older than a stop that was created since."""
    return status in OPEN and not (type_ == "start_recording" and seq < last_stop_seq)


def is_superseded_by_stop(type_: CommandType, status: Status) -> bool:
    """Whether the creation of a stop clears this older command away: pending starts and stops."""
    return status in SUPERSEDE.sources and type_ in ("start_recording", "stop_recording")


def is_cancellable(status: Status) -> bool:
    """Whether a backend may cancel it: only while the device hasn't said that it has it."""
    return status in CANCEL.sources


@dataclass(frozen=True, slots=True)
class Word:
    """What a report says, as far as two reports are compared: status, result and error code."""

    status: Literal["executed", "failed"]
    result: str | None
    error_code: str | None
    evidence: Evidence


Verdict = Literal["lands", "equal", "equal_but_stronger", "replaces", "conflicts"]


def judge_report(
    status: Status, result: str | None, error_code: str | None, evidence: Evidence | None, word: Word
) -> Verdict:
    """Rule 3: the device's word is final. What becomes of a report on a command as it stands.

    `lands`: the command had no word of the device yet. `equal`: said before. `equal_but_stronger`: said before on
    weaker evidence, and the stronger is noted. `replaces`: says otherwise on stronger evidence. `conflicts`: says
    otherwise on evidence no stronger, so the first stands.
    """
    if status not in WITH_THE_DEVICES_WORD:
        return "lands"
    stronger = EVIDENCE_STRENGTH[word.evidence] > EVIDENCE_STRENGTH[evidence]
    if (status, result, error_code) == (word.status, word.result, word.error_code):
        return "equal_but_stronger" if stronger else "equal"
    return "replaces" if stronger else "conflicts"


def report_move(word: Word, verdict: Verdict) -> Move:
    """The move that a report makes which `lands` or `replaces`."""
    if verdict == "lands":
        return EXECUTED if word.status == "executed" else FAILED
    return CORRECT_EXECUTED if word.status == "executed" else CORRECT_FAILED


def ends_binding_on_expiry(type_: CommandType, status: Status) -> bool:
    """A reset that the device had taken, and never answered for, counts as done: it may have wiped its token."""
    return type_ == "factory_reset" and status == "delivered"


def may_still_run_until(
    type_: CommandType, status: Status, offers: int, expires_at: int, relayed_until: int | None, now: int
) -> int | None:
    """The latest moment (ms) at which an offered start could still start something; None when that is ruled out.

    `relayed_until`: where relays alone have offered it, the greatest `exp` that they were handed; else None.
    """
    if type_ != "start_recording" or offers == 0 or status in WITH_THE_DEVICES_WORD:
        return None
    until = expires_at if relayed_until is None else min(relayed_until, expires_at)
    return until if now < until else None


OFFER_RANK: Final[dict[CommandType, int]] = {"factory_reset": 0, "stop_recording": 1}
"""Rule 5: a reset, then a stop, go before the rest, which go oldest first."""


def offer_rank(type_: CommandType) -> int:
    """Lower goes first."""
    return OFFER_RANK.get(type_, 2)
