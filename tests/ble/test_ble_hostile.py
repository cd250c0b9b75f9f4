"""Whatever answers under the service's UUID: a relay's reader takes bounded memory, and names what is wrong."""

import tracemalloc

import pytest

from rolltape.recorder.ble.visit import Visit
from rolltape.wire.ble import to_device, to_relay
from rolltape.wire.ble.frames import LONGEST_TO_RELAY, Frame, Refusal, ResultCode, cut
from rolltape.wire.ble.inbox import Message, relay_inbox
from tests.ble.air import Air, call, find, told
from tests.ble.sessions import DEVICE, Echo
from tests.ble.test_ble_messages import HUGE


class Hostile(Echo):
    """Answers NEXT with whatever fragments it was given, and OFFLINE as it should."""

    def __init__(self, fragments: list[bytes]) -> None:
        super().__init__()
        self._fragments = fragments

    async def received(self, message: Message) -> None:
        visit = self.links[-1]
        assert isinstance(visit, Visit)
        if isinstance(message, to_device.Next):
            server = visit._connection.device.gatt_server
            for fragment in self._fragments:
                await server.notify_subscriber(visit._connection, visit._tx, fragment)
                await visit._room()
        elif isinstance(message, to_device.Offline):
            await visit.send(to_relay.Result(about=message.type, code=0))


def endless() -> list[bytes]:
    """A message of 16 MiB, by what it says, that never ends."""
    return [bytes.fromhex("80 83 ffffff") + bytes(12), *[bytes([1 + number % 63]) + bytes(19) for number in range(900)]]


HOSTILE: dict[str, tuple[list[bytes], ResultCode]] = {
    "a message that says 16 MiB": (endless(), ResultCode.TOO_LONG),
    "a message that goes on after its end": (
        [bytes.fromhex("80 83 000014") + bytes(15), *[bytes([1 + number % 63]) + bytes(19) for number in range(900)]],
        ResultCode.BAD_FRAMING,
    ),
    "the same first fragment for ever": ([bytes.fromhex("80 83 000400 00")] * 400, ResultCode.BAD_FRAMING),
    "fragments of no message": ([bytes([number & 0x3F]) + bytes(19) for number in range(400)], ResultCode.BAD_FRAMING),
    "an unknown type": ([bytes.fromhex("c0 ff 000000")], ResultCode.UNKNOWN_MESSAGE),
    "a relay's own type": ([bytes.fromhex("c0 02 000001 00")], ResultCode.UNKNOWN_MESSAGE),
    "the longest nested body": (list(cut(Frame(0x83, b"\x81" * LONGEST_TO_RELAY), 23)), ResultCode.BAD_BODY),
} | {f"a report of {name}": (list(cut(Frame(0x83, body), 23)), ResultCode.BAD_BODY) for name, body in HUGE.items()}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_device_costs_a_relay_nothing_but_a_refusal(name: str) -> None:
    fragments, code = HOSTILE[name]
    inbox = relay_inbox()
    tracemalloc.start()
    try:
        found = [item for fragment in fragments for item in inbox.feed(fragment)]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert found
    assert all(isinstance(item, Refusal) and item.code is code for item in found)
    assert inbox.feed(bytes.fromhex("c0 87 000004 83 07 00 60"))[-1] == to_relay.Result(about=7, code=0)


@pytest.mark.parametrize("name", ["a message that says 16 MiB", "a report of nested arrays", "an unknown type"])
def test_a_session_with_a_hostile_device_goes_on_when_it_comes_to_its_senses(air: Air, name: str) -> None:
    async def story() -> None:
        fragments, code = HOSTILE[name]
        async with (
            air.open() as place,
            place.recorder(Hostile(fragments)),
            call(place, (await find(place, DEVICE))[0]) as caller,
        ):
            await caller.send(to_device.Next())
            await caller.send(to_device.Offline())
            refusal = await caller.hear()
            assert isinstance(refusal, Refusal)
            assert refusal.code is code
            assert await caller.hear_message() == to_relay.Result(about=0x05, code=0)

    told(story())
