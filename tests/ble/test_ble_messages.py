"""Messages: each comes back as it was sent, and anything else is a ValueError and never a surprise."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolltape.wire import cbor
from rolltape.wire.ble import to_device, to_relay
from rolltape.wire.ble.frames import LONGEST_TO_RELAY, Refusal, ResultCode, cut
from rolltape.wire.ble.inbox import MOST_ERRORS, Inbox, Message, device_inbox, frame, relay_inbox
from rolltape.wire.ble.service import Info, advertised_tag, is_tag_of, make_tag, new_tag, recognise
from tests.ble import samples
from tests.ble.samples import COMMAND, NONCE, RECORDING

ALL = (*samples.TO_DEVICE, *samples.TO_RELAY)
KINDS = {**to_device.TO_DEVICE, **to_relay.TO_RELAY}
DEVICE = "dev_0H2bQy5fT8nWkR3mZxPc7L"
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.integers(0, 9), inner, max_size=5),
    max_leaves=12,
)


def inbox_of(message: Message) -> Inbox[object]:
    return relay_inbox() if message.type & 0x80 else device_inbox()


def refusal(found: list[object]) -> Refusal:
    [one] = found
    assert isinstance(one, Refusal)
    return one


def is_refused(kind: Any, body: bytes) -> bool:
    try:
        kind.read(body)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("mtu", [23, 185, 517])
@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_each_message_comes_back_as_it_was_sent(message: Message, mtu: int) -> None:
    inbox = inbox_of(message)
    assert [item for fragment in cut(frame(message), mtu) for item in inbox.feed(fragment)] == [message]


def test_there_is_a_sample_of_each_kind() -> None:
    assert {message.type for message in ALL} == set(KINDS)


@settings(deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_value_error(kind: int, body: bytes) -> None:
    is_refused(KINDS[kind], body)


@settings(deadline=None)
@given(st.sampled_from(sorted(KINDS)), anything)
def test_any_values_are_a_message_or_a_value_error(kind: int, value: object) -> None:
    try:
        read = KINDS[kind].read(cbor.encode(value))
    except ValueError:
        return
    assert KINDS[kind].read(read.body()) == read


@settings(deadline=None)
@given(st.sampled_from(ALL), st.data())
def test_a_message_with_one_changed_byte_is_a_message_or_a_value_error(message: Message, data: st.DataObject) -> None:
    body = bytearray(message.body())
    if not body:
        return
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    is_refused(KINDS[message.type], bytes(body))


@pytest.mark.parametrize("message", [m for m in ALL if m.type not in (0x02, 0x03, 0x04, 0x05, 0x07, 0x88)])
def test_what_later_versions_put_behind_is_passed_over(message: Message) -> None:
    value = cbor.decode(message.body(), LONGEST_TO_RELAY)
    longer = {**value, 99: "later"} if type(value) is dict else [*value, "later"]
    assert KINDS[message.type].read(cbor.encode(longer)) == message


NESTED = b"\x81" * 60_000 + b"\x00"
HUGE = {
    "nested arrays": NESTED,
    "nested maps": b"\xa1\x00" * 30_000 + b"\x00",
    "an array of 2^64 - 1 items": b"\x9b" + b"\xff" * 8,
    "an array of 2^31 items": b"\x9a\x7f\xff\xff\xff",
    "a map of 2^32 - 1 items": b"\xba\xff\xff\xff\xff",
    "a byte string of 2^63 bytes": b"\x5b\x7f" + b"\xff" * 7,
    "a text of 2^32 bytes": b"\x7a\xff\xff\xff\xff",
    "a great number": b"\xc2\x59\xff\xf0" + b"\xff" * 0xFFF0,
    "an endless array": b"\x9f" + b"\x00" * 60_000,
    "sixty thousand items": b"\x99\xea\x60" + b"\x00" * 60_000,
    "a list that holds itself": b"\xd8\x1c\x81\xd8\x1d\x00",
    "one text many times": b"\xd9\x01\x00\x82\x63aaa\xd8\x19\x00",
}


@pytest.mark.parametrize("body", HUGE.values(), ids=HUGE.keys())
@pytest.mark.parametrize("kind", sorted(to_relay.TO_RELAY))
def test_a_huge_or_nested_body_is_a_value_error_in_little_memory(kind: int, body: bytes) -> None:
    tracemalloc.start()
    try:
        assert is_refused(to_relay.TO_RELAY[kind], body)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_an_unknown_type_is_refused_by_name_and_the_session_goes_on() -> None:
    inbox = device_inbox()
    assert refusal(list(inbox.feed(bytes.fromhex("c0 7e 000000")))) == Refusal(
        0x7E, ResultCode.UNKNOWN_MESSAGE, "type 0x7e is not known here"
    )
    assert inbox.feed(bytes.fromhex("c0 07 000000")) == [to_device.Next()]


def test_a_message_of_the_other_direction_is_unknown() -> None:
    assert refusal(list(device_inbox().feed(bytes.fromhex("c0 87 000000")))).code is ResultCode.UNKNOWN_MESSAGE
    assert refusal(list(relay_inbox().feed(bytes.fromhex("c0 07 000000")))).code is ResultCode.UNKNOWN_MESSAGE


def test_a_hello_of_another_version_is_read_for_what_it_says() -> None:
    hello = to_device.Hello(online=False, version=9)
    assert to_device.Hello.read(hello.body()).version == 9


def test_nothing_but_errors_is_hopeless_and_one_good_message_makes_hope() -> None:
    inbox = device_inbox()
    for _ in range(MOST_ERRORS - 1):
        inbox.feed(bytes.fromhex("c0 7e 000000"))
    assert not inbox.is_hopeless
    inbox.feed(bytes.fromhex("c0 07 000000"))
    for _ in range(MOST_ERRORS):
        assert not inbox.is_hopeless
        inbox.feed(bytes.fromhex("c0 06 000001 00"))
    assert inbox.is_hopeless


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match="more than 65536"):
        frame(to_relay.State(json=bytes(65_536)))


@pytest.mark.parametrize(
    ("message", "changed"),
    [
        (to_relay.Piece(recording_id=RECORDING, offset=0, total=4, data=b"OggS"), {3: b"OggT"}),
        (to_relay.Piece(recording_id=RECORDING, offset=0, total=4, data=b"OggS"), {2: 3}),
        (to_relay.Piece(recording_id=RECORDING, offset=4, total=4, data=b""), {2: 5}),
        (to_relay.Recording(recording_id=RECORDING, create=b"{}", size=1), {7: bytes(32)}),
        (to_relay.Challenge(nonce=NONCE), {0: bytes(15)}),
        (to_relay.Challenge(nonce=NONCE), {1: RECORDING}),
        (to_relay.Challenge(nonce=NONCE), {4: 1}),
        (to_device.Fetch(recording_id=RECORDING, offset=0, length=1), {1: -1}),
        (to_device.Fetch(recording_id=RECORDING, offset=0, length=1), {1: 2**53}),
        (to_device.Fetch(recording_id=RECORDING, offset=0, length=1), {2: 0}),
        (to_device.Fetch(recording_id=RECORDING, offset=0, length=1), {2: 16_385}),
        (to_device.Fetch(recording_id=RECORDING, offset=0, length=1), {2: True}),
        (to_device.Taken(what=0x83, id=COMMAND), {0: 0x86}),
        (to_device.Taken(what=0x83, id=COMMAND), {1: None}),
    ],
)
def test_a_value_outside_its_bounds_is_refused(message: Message, changed: dict[int, object]) -> None:
    items = cbor.decode(message.body(), LONGEST_TO_RELAY)
    for place, value in changed.items():
        items[place] = value
    assert is_refused(KINDS[message.type], cbor.encode(items))


def test_a_tag_is_recognised_by_who_knows_the_device_and_by_nobody_else() -> None:
    tag, other = new_tag(DEVICE), "dev_0H2bQy5fT8nWkR3mZxPc7M"
    assert is_tag_of(DEVICE, tag)
    assert not is_tag_of(other, tag)
    assert recognise(tag, [other, DEVICE]) == DEVICE
    assert recognise(tag, [other]) is None
    assert not is_tag_of(DEVICE, tag[:7])
    assert not is_tag_of(DEVICE, b"")


def test_a_tag_is_made_from_its_chance_alone() -> None:
    assert make_tag(DEVICE, b"\x01\x02\x03") == make_tag(DEVICE, b"\x01\x02\x03")
    assert len({new_tag(DEVICE) for _ in range(50)}) > 45
    with pytest.raises(ValueError, match="3 bytes"):
        make_tag(DEVICE, b"")


def test_service_data_without_a_tag_is_no_tag() -> None:
    assert advertised_tag({}) is None
    assert advertised_tag({"7a0b0001-52a4-4c8e-9d8c-5e6f70c1b2a3": bytes(7)}) is None
    assert advertised_tag({"7a0b0001-52a4-4c8e-9d8c-5e6f70c1b2a3": bytes(8)}) == bytes(8)


def test_info_comes_back_and_may_grow() -> None:
    info = Info(1, True, bytes(range(8)))
    assert Info.decode(info.encode()) == info == Info.decode(info.encode() + b"later")
    with pytest.raises(ValueError, match="9 bytes"):
        Info.decode(info.encode()[:9])


def test_messages_are_values() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        to_device.Hello(online=True).online = False  # type: ignore[misc]
    assert msgspec.structs.replace(to_device.Hello(online=True), online=False) == to_device.Hello(online=False)
