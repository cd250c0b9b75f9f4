"""The checker of `rolltape simulate`: each broken promise is seen, and what is in order isn't one."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from rolltape.cli.simulate import _exit_code
from rolltape.simulate.book import Book, TrueTime, Word
from rolltape.simulate.check import PROMISES, Promise, broken, endings, is_settled
from rolltape.simulate.report import Report
from rolltape.wire.command import Command, Delivery
from rolltape.wire.common import Reason

ID = "cmd_1"
EXPIRY_MS = 100_000
DONE = Word("executed", None, {"pending_recordings": 0})
DELIVERY = Delivery(route=None, offers=0, last_offered_at=None, next_contact_at=None, evidence=None)
STANDING = Command(
    id=ID,
    device_id="dev_1",
    type="trigger_upload",
    status="executed",
    params={},
    grant_token=None,
    result=DONE.result,
    error=None,
    expires_at="1970-01-01T00:01:40.000Z",
    delivered_at=None,
    executed_at=None,
    created_at="1970-01-01T00:00:40.000Z",
    reported_at=None,
    may_still_run_until=None,
    delivery=DELIVERY,
)


class World:
    """A book about one command, in which a test writes; true time is the monotonic one."""

    def __init__(self, type_: str = "trigger_upload") -> None:
        self.book = Book()
        self.book.true_time.hear(0, 0.0, 0.0)
        self.type = type_
        self.book.accepted(ID, 7, type_, EXPIRY_MS, 40.0, 40.1)

    def acts(self, now: float, heard_at: float | None = None) -> "World":
        self.book.act(ID, 7, self.type, EXPIRY_MS, now, now if heard_at is None else heard_at)
        return self

    def says(self, word: Word = DONE, *, told: bool = True) -> "World":
        self.book.word(ID, 7, self.type, word)
        if told:
            self.book.told(ID)
        return self

    def breaches(self, server: Command | None, now_ms: int = 99_000) -> list[str]:
        return [one.promise for one in broken(self.book, {ID: server}, now_ms)]


def stands(status: Any, code: str | None = None, **fields: Any) -> Command:
    error = None if code is None else Reason(code=code, message="")
    result = DONE.result if status == "executed" else None
    return msgspec.structs.replace(STANDING, status=status, error=error, **{"result": result, **fields})


def test_a_command_that_was_done_once_and_is_known_as_done_is_in_order() -> None:
    assert World().acts(50).says().breaches(STANDING) == []


def test_a_command_that_nobody_knows_is_lost() -> None:
    assert World().breaches(None) == ["lost"]


def test_a_command_that_only_the_device_knows_is_a_wrong_state_and_not_lost() -> None:
    assert World().acts(50).says().breaches(None) == ["wrong_final_state"]


def test_what_was_done_twice_is_seen() -> None:
    assert World().acts(50).acts(51).says().breaches(STANDING) == ["executed_twice"]


@pytest.mark.parametrize(("at", "seen"), [(99.9, []), (100.0, []), (100.002, ["executed_after_expiry"])])
def test_what_was_done_after_its_expiry_is_seen_to_the_millisecond_that_a_timer_is_good_for(
    at: float, seen: list[str]
) -> None:
    assert World().acts(at).says().breaches(STANDING) == seen


def test_a_timer_that_has_long_heard_no_time_may_be_off_by_what_a_quartz_is() -> None:
    assert World().acts(100.002, heard_at=40.0).says().breaches(STANDING) == []
    assert World().acts(100.010, heard_at=40.0).says().breaches(STANDING) == ["executed_after_expiry"]


def test_a_stop_may_be_obeyed_after_its_expiry() -> None:
    assert World("stop_recording").acts(130).says().breaches(STANDING) == []


@pytest.mark.parametrize(
    ("server", "acts", "word", "told"),
    [
        (stands("expired"), True, DONE, True),
        (stands("pending"), True, DONE, True),
        (stands("failed", "internal"), True, DONE, False),
        (stands("executed", result={"pending_recordings": 1}), True, DONE, True),
        (stands("executed"), False, None, False),
        (stands("executed"), False, DONE, True),
        (stands("failed", "not_recording"), True, Word("failed", "not_recording", None), True),
        (stands("failed", "not_recording"), False, Word("failed", "already_recording", None), True),
        (stands("failed", "not_recording"), False, None, False),
    ],
)
def test_a_state_that_is_not_what_the_device_did_and_said_is_wrong(
    server: Command, acts: bool, word: Word | None, told: bool
) -> None:
    world = World()
    if acts:
        world.acts(50)
    if word is not None:
        world.says(word, told=told)
    assert world.breaches(server) == ["wrong_final_state"]


def test_a_device_that_lost_its_power_in_between_may_have_done_it() -> None:
    word = Word("failed", "interrupted", None)
    assert World().acts(50).says(word).breaches(stands("failed", "interrupted")) == []


def test_what_was_not_told_yet_need_not_be_known() -> None:
    assert World().acts(50).says(told=False).breaches(stands("expired")) == []


def test_an_open_command_past_its_expiry_is_wrong_after_a_second() -> None:
    assert World().breaches(stands("pending"), now_ms=EXPIRY_MS + 999) == []
    assert World().breaches(stands("pending"), now_ms=EXPIRY_MS + 1000) == ["wrong_final_state"]


def test_what_was_done_although_it_was_cancelled_is_wrong() -> None:
    world = World().acts(50).says()
    world.book.cancelled(ID)
    assert world.breaches(STANDING) == ["wrong_final_state"]


def test_a_command_of_an_earlier_run_is_not_counted_unless_it_is_done_twice() -> None:
    book = Book()
    book.word(ID, 7, "", Word("failed", "grant_invalid", None))
    assert broken(book, {ID: None}, 0) == []
    book.act(ID, 7, "trigger_upload", EXPIRY_MS, 50, 50)
    book.act(ID, 7, "trigger_upload", EXPIRY_MS, 51, 51)
    found = broken(book, {ID: stands("failed", "grant_invalid")}, 0)
    assert [one.promise for one in found] == ["executed_twice", "wrong_final_state"]
    assert endings(book, {}).total() == 0


def test_true_time_is_never_ahead_of_the_server() -> None:
    time = TrueTime()
    time.hear(1000, 0.0, 0.5)  # the answer was half a second on its way, and nobody knows where
    assert time.at(1.0) == 1500
    time.hear(2000, 1.0, 1.001)
    assert time.at(1.001) == 2000
    assert time.error_ms == pytest.approx(2)


def test_a_command_is_settled_when_nothing_more_can_become_of_it() -> None:
    (entry,) = World().book.entries.values()
    assert not is_settled(entry, stands("pending"), in_hand=False)
    assert not is_settled(entry, stands("cancelled"), in_hand=True)
    assert is_settled(entry, stands("cancelled"), in_hand=False)
    assert is_settled(replace(entry, dropped=True), stands("delivered"), in_hand=False)
    assert not is_settled(replace(entry, word=DONE), stands("executed"), in_hand=False)
    assert is_settled(replace(entry, word=DONE, told=True), stands("executed"), in_hand=False)


@pytest.mark.parametrize("promise", [None, *PROMISES])
def test_one_broken_promise_of_any_kind_is_enough_to_end_with_1(promise: Promise | None) -> None:
    counted = {each: int(each == promise) for each in PROMISES}
    nothing: dict[str, Any] = {field: {} for field in Report.__struct_fields__}
    report = Report(**{**nothing, "broken": counted, "unsettled": 0})
    assert _exit_code(report) == (0 if promise is None else 1)
