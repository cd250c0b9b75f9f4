"""The lifecycle as a whole: what MOVES says must hang together, and agree with the questions beside it."""

from itertools import product
from typing import get_args

import pytest

from rolltape.domain import lifecycle
from rolltape.domain.lifecycle import MOVES, OPEN, TERMINAL, Word
from rolltape.wire.command import CommandType, Evidence, Status

STATUSES: tuple[Status, ...] = get_args(Status)
TYPES: tuple[CommandType, ...] = get_args(CommandType)
NOW = 1_798_804_800_000
WORD = Word("executed", None, None, "device")


def _reachable(start: Status, actors: set[str]) -> set[Status]:
    seen, fresh = {start}, [start]
    while fresh:
        here = fresh.pop()
        for move in MOVES:
            if move.actor in actors and here in move.sources and move.target not in seen:
                seen.add(move.target)
                fresh.append(move.target)
    return seen


def test_every_status_is_either_open_or_terminal() -> None:
    assert sorted(OPEN + TERMINAL) == sorted(STATUSES)
    assert [status for status in STATUSES if lifecycle.is_open(status)] == list(OPEN)


@pytest.mark.parametrize("status", OPEN)
def test_from_every_open_status_the_server_alone_reaches_a_terminal_one(status: Status) -> None:
    assert _reachable(status, {"clock", "server"}) & set(TERMINAL)
    assert lifecycle.is_due(status, NOW, NOW)


def test_only_the_device_moves_a_command_that_is_terminal() -> None:
    for move in MOVES:
        if set(move.sources) & set(TERMINAL):
            assert move.actor == "device", move


def test_only_the_device_says_that_something_was_done() -> None:
    for move in MOVES:
        assert (move.target in ("delivered", "executed", "failed")) == (move.actor == "device"), move


def test_no_move_leads_back_to_pending_and_none_out_of_a_status_that_is_not() -> None:
    assert all(move.target != "pending" for move in MOVES)
    assert all(move.sources and set(move.sources) <= set(STATUSES) for move in MOVES)


def test_each_move_has_a_name_of_its_own_and_a_reason() -> None:
    assert len({move.name for move in MOVES}) == len(MOVES)
    assert all(move.why for move in MOVES)


def test_every_status_but_pending_is_entered_by_some_move() -> None:
    assert {move.target for move in MOVES} == set(STATUSES) - {"pending"}


def test_a_report_lands_on_every_status_without_the_devices_word() -> None:
    for status in STATUSES:
        verdict = lifecycle.judge_report(status, None, None, None, WORD)
        assert (verdict == "lands") == (status in lifecycle.WITHOUT_THE_DEVICES_WORD)


def test_a_report_that_lands_or_replaces_has_a_move_from_where_the_command_is() -> None:
    strengths: tuple[Evidence, ...] = get_args(Evidence)
    said: tuple[tuple[str | None, str | None], ...] = ((None, None), ("{}", None), (None, "internal"))
    for status, (result, code), known, evidence in product(STATUSES, said, (None, *strengths), strengths[1:]):
        for word in (Word("executed", None, None, evidence), Word("failed", None, "internal", evidence)):
            verdict = lifecycle.judge_report(status, result, code, known, word)
            if verdict in ("lands", "replaces"):
                move = lifecycle.report_move(word, verdict)
                assert status in move.sources
                assert move.target == word.status


@pytest.mark.parametrize(
    ("known", "evidence", "same", "different"),
    [
        ("relay", "relay", "equal", "conflicts"),
        ("relay", "device", "equal_but_stronger", "replaces"),
        ("device", "relay", "equal", "conflicts"),
        ("device", "device_signed", "equal_but_stronger", "replaces"),
        ("device_signed", "device", "equal", "conflicts"),
    ],
)
def test_a_second_report_is_judged_by_its_evidence(
    known: Evidence, evidence: Evidence, same: str, different: str
) -> None:
    word = Word("executed", '{"a":1}', None, evidence)
    assert lifecycle.judge_report("executed", '{"a":1}', None, known, word) == same
    assert lifecycle.judge_report("executed", '{"a":2}', None, known, word) == different
    assert lifecycle.judge_report("failed", '{"a":1}', "internal", known, word) == different


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("status", STATUSES)
def test_go_is_given_to_what_is_open_unless_it_is_a_start_older_than_a_stop(type_: CommandType, status: Status) -> None:
    assert lifecycle.may_go(type_, status, 5, last_stop_seq=4) == (status in OPEN)
    expected = status in OPEN and type_ != "start_recording"
    assert lifecycle.may_go(type_, status, 5, last_stop_seq=6) == expected


def test_a_stop_itself_is_never_older_than_itself() -> None:
    assert lifecycle.may_go("stop_recording", "pending", 6, last_stop_seq=6)


def test_a_stop_supersedes_pending_starts_and_stops_alone() -> None:
    cleared = {(t, s) for t, s in product(TYPES, STATUSES) if lifecycle.is_superseded_by_stop(t, s)}
    assert cleared == {("start_recording", "pending"), ("stop_recording", "pending")}


def test_a_command_is_due_at_its_very_millisecond() -> None:
    for status in STATUSES:
        assert not lifecycle.is_due(status, NOW, NOW - 1)
        assert lifecycle.is_due(status, NOW, NOW) == (status in OPEN)


def test_only_a_pending_command_is_cancellable() -> None:
    assert [status for status in STATUSES if lifecycle.is_cancellable(status)] == ["pending"]


def test_only_a_delivered_reset_ends_its_binding_by_expiry() -> None:
    ends = {(t, s) for t, s in product(TYPES, STATUSES) if lifecycle.ends_binding_on_expiry(t, s)}
    assert ends == {("factory_reset", "delivered")}


def test_what_may_still_run_is_an_offered_start_without_the_devices_word() -> None:
    for type_, status in product(TYPES, STATUSES):
        still = lifecycle.may_still_run_until(type_, status, 1, NOW, None, NOW - 1)
        possible = type_ == "start_recording" and status not in ("executed", "failed")
        assert still == (NOW if possible else None)
        assert lifecycle.may_still_run_until(type_, status, 0, NOW, None, NOW - 1) is None
        assert lifecycle.may_still_run_until(type_, status, 1, NOW, None, NOW) is None


def test_what_relays_alone_were_handed_may_run_no_longer_than_their_grants() -> None:
    facts: tuple[CommandType, Status, int, int] = ("start_recording", "cancelled", 1, NOW)
    assert lifecycle.may_still_run_until(*facts, NOW - 500, NOW - 501) == NOW - 500
    assert lifecycle.may_still_run_until(*facts, NOW - 500, NOW - 500) is None
    assert lifecycle.may_still_run_until(*facts, NOW + 1, NOW - 1) == NOW


def test_resets_and_then_stops_are_offered_first() -> None:
    assert sorted(TYPES, key=lifecycle.offer_rank)[:2] == ["factory_reset", "stop_recording"]
    assert lifecycle.offer_rank("start_recording") == lifecycle.offer_rank("trigger_upload")
