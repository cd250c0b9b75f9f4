"""Fragments: cut for any MTU, put together, and refused with nothing lost but the message that was wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolltape.wire.ble.frames import Assembler, Frame, Refusal, ResultCode, cut, fragment_size

LONGEST = 70_000
frames = st.builds(Frame, st.integers(0, 255), st.binary(max_size=3000))
mtus = st.integers(23, 600)
GOOD = Frame(0x07, b"good")


def feed_all(assembler: Assembler, fragments: list[bytes]) -> list[Frame | Refusal]:
    return [item for fragment in fragments for item in assembler.feed(fragment)]


def the_refusal(found: list[Frame | Refusal]) -> Refusal:
    [refusal] = found
    assert isinstance(refusal, Refusal)
    return refusal


@settings(deadline=None)
@given(st.lists(frames, max_size=4), mtus)
def test_what_is_cut_comes_together_at_any_mtu(sent: list[Frame], mtu: int) -> None:
    fragments = [fragment for frame in sent for fragment in cut(frame, mtu)]
    assert all(len(fragment) <= fragment_size(mtu) for fragment in fragments)
    assert feed_all(Assembler(LONGEST), fragments) == sent


@pytest.mark.parametrize("mtu", [23, 185, 517])
@pytest.mark.parametrize("delta", [-1, 0, 1])
@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 128])
def test_bodies_at_the_edges_of_fragments_come_together(mtu: int, delta: int, count: int) -> None:
    room = fragment_size(mtu) - 1
    body = bytes(i % 251 for i in range(max(0, count * room - 4 + delta)))
    fragments = list(cut(Frame(0x83, body), mtu))
    assert len(fragments) == max(1, -(-(len(body) + 4) // room))
    assert feed_all(Assembler(LONGEST), fragments) == [Frame(0x83, body)]


@settings(deadline=None)
@given(frames, mtus, st.data())
def test_a_missing_fragment_costs_its_message_alone(frame: Frame, mtu: int, data: st.DataObject) -> None:
    fragments = list(cut(frame, mtu))
    del fragments[data.draw(st.integers(0, len(fragments) - 1))]
    found = feed_all(Assembler(LONGEST), [*fragments, *cut(GOOD, mtu)])
    assert found[-1] == GOOD
    assert len(found) == (2 if fragments else 1), "named once, not once a fragment"
    assert all(isinstance(item, Refusal) and item.code is ResultCode.BAD_FRAMING for item in found[:-1])


@settings(deadline=None)
@given(frames, mtus, st.data())
def test_a_doubled_fragment_never_makes_another_message(frame: Frame, mtu: int, data: st.DataObject) -> None:
    fragments = list(cut(frame, mtu))
    at = data.draw(st.integers(0, len(fragments) - 1))
    fragments.insert(at, fragments[at])
    found = feed_all(Assembler(LONGEST), [*fragments, *cut(GOOD, mtu)])
    assert found[-1] == GOOD
    assert all(item == frame for item in found[:-1] if isinstance(item, Frame))


@settings(deadline=None)
@given(frames, mtus, st.randoms(use_true_random=False))
def test_fragments_out_of_order_never_make_another_message(frame: Frame, mtu: int, random: object) -> None:
    fragments = list(cut(frame, mtu))
    random.shuffle(fragments)  # type: ignore[attr-defined]
    found = feed_all(Assembler(LONGEST), [*fragments, *cut(GOOD, mtu)])
    assert found[-1] == GOOD
    assert all(item == frame for item in found[:-1] if isinstance(item, Frame)) or len(fragments) > 64


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=60), mtus)
def test_whatever_comes_in_the_next_message_is_read(noise: list[bytes], mtu: int) -> None:
    assembler = Assembler(100)
    feed_all(assembler, noise)
    assert feed_all(assembler, list(cut(GOOD, mtu)))[-1] == GOOD


@settings(deadline=None)
@given(st.lists(st.binary(max_size=600), max_size=30))
def test_no_more_than_one_message_is_ever_held(noise: list[bytes]) -> None:
    assembler = Assembler(100)
    for fragment in noise:
        assembler.feed(fragment)
        assert len(assembler._data) <= 104


def test_a_message_cut_off_by_the_next_is_refused_and_the_next_is_read() -> None:
    found = feed_all(Assembler(LONGEST), [next(cut(Frame(0x83, bytes(100)), 23)), *cut(GOOD, 23)])
    assert found == [Refusal(0x83, ResultCode.BAD_FRAMING, "cut off by the next message"), GOOD]


def test_a_message_that_says_it_is_too_long_is_refused_at_its_first_fragment_and_once() -> None:
    assembler = Assembler(4096)
    found = feed_all(assembler, list(cut(Frame(0x02, bytes(4097)), 23)))
    assert the_refusal(found) == Refusal(0x02, ResultCode.TOO_LONG, "4097 bytes, more than 4096")
    assert feed_all(assembler, list(cut(Frame(0x02, bytes(4096)), 23))) == [Frame(0x02, bytes(4096))]


@pytest.mark.parametrize(
    ("fragments", "why"),
    [
        (["c0 02 000001 aa bb"], "longer than it said"),
        (["c0 02 000003 aa bb"], "1 bytes short of what it said"),
        (["80 02 000001 aa"], "whole, but not marked as last"),
        (["80 02 000002 aa", "01", "41 bb"], "a fragment without a piece"),
        (["80 02 000002 aa", ""], "an empty fragment"),
        (["80 02 000003 aa", "02 bb"], "fragment 2 where 1 is due"),
        (["81 02 000003 aa"], "fragment 1 where 0 is due"),
        (["c0 02 0000"], "a first fragment without type and length"),
        (["80"], "a first fragment without type and length"),
        (["41 aa"], "a fragment of no message"),
        (["80 02 ffffff aa"], "16777215 bytes, more than 70000"),
    ],
)
def test_each_way_of_being_wrong_has_its_own_word(fragments: list[str], why: str) -> None:
    found = feed_all(Assembler(LONGEST), [bytes.fromhex(fragment) for fragment in fragments])
    assert the_refusal(found).detail == why


def test_a_first_fragment_may_hold_the_header_alone() -> None:
    fragments = [bytes.fromhex(text) for text in ("80 02 000002", "41 aabb")]
    assert feed_all(Assembler(LONGEST), fragments) == [Frame(0x02, b"\xaa\xbb")]


def test_no_fragment_is_longer_than_an_attribute_value() -> None:
    assert (fragment_size(23), fragment_size(185), fragment_size(517)) == (20, 182, 512)
    with pytest.raises(ValueError, match="below 23"):
        fragment_size(22)
