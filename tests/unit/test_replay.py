"""The replay record: what it forgets is refused, and its bytes are the documented ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolltape.wire.replay import WINDOW, ReplayRecord

SEQS = st.integers(1, 2**63 - 1)
NEAR = st.lists(st.integers(1, 400), max_size=60)


def marked(seqs: list[int]) -> ReplayRecord:
    record = ReplayRecord()
    for seq in seqs:
        record = record.mark(seq)
    return record


def test_a_new_record_has_used_nothing() -> None:
    assert not ReplayRecord().used(1)


@given(NEAR)
def test_whatever_was_marked_is_used(seqs: list[int]) -> None:
    assert all(marked(seqs).used(seq) for seq in seqs)


@given(NEAR, st.integers(1, 500))
def test_what_was_not_marked_is_free_unless_it_has_left_the_window(seqs: list[int], seq: int) -> None:
    record = marked(seqs)
    assert record.used(seq) == (seq in seqs or (bool(seqs) and max(seqs) - seq >= WINDOW))


@given(NEAR)
def test_the_order_of_marks_does_not_matter_inside_the_window(seqs: list[int]) -> None:
    near = [seq for seq in seqs if seqs and max(seqs) - seq < WINDOW]
    assert marked(near) == marked(sorted(near)) == marked(near[::-1])


@pytest.mark.parametrize(("behind", "used"), [(0, True), (1, False), (127, False), (128, True), (10_000, True)])
def test_the_window_is_128_wide(behind: int, used: bool) -> None:
    assert ReplayRecord().mark(20_000).used(20_000 - behind) is used


def test_a_jump_of_a_whole_window_forgets_the_old_marks_and_refuses_them() -> None:
    record = marked([1, 2, 3]).mark(3 + WINDOW)
    assert record.window == 1
    assert all(record.used(seq) for seq in (1, 2, 3))


def test_marking_what_has_left_the_window_changes_nothing() -> None:
    record = ReplayRecord().mark(1000)
    assert record.mark(1) == record


@given(st.lists(SEQS, min_size=1, max_size=10))
def test_the_highest_stop_only_grows(seqs: list[int]) -> None:
    record = ReplayRecord()
    for seq in seqs:
        record = record.saw_stop(seq)
    assert record.highest_stop == max(seqs)


@given(NEAR, st.integers(0, 500))
def test_after_a_floor_nothing_up_to_it_can_be_used(seqs: list[int], floor: int) -> None:
    record = marked(seqs).raised_to(floor)
    assert all(record.used(seq) for seq in range(1, floor + 1))
    assert not record.used(max([floor, *seqs]) + 1)
    assert record.highest_stop >= floor


@given(SEQS, st.integers(0, 2**128 - 1), SEQS)
def test_the_bytes_give_the_record_back(highest: int, window: int, stop: int) -> None:
    record = ReplayRecord(highest, window, stop)
    assert len(record.to_bytes()) == 32
    assert ReplayRecord.from_bytes(record.to_bytes()) == record


@pytest.mark.parametrize("size", [0, 31, 33])
def test_bytes_of_another_length_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ReplayRecord.from_bytes(bytes(size))
