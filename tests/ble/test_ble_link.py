"""A real bleak client at a real peripheral: messages both ways, whatever is wrong refused, and who may be there."""

import asyncio
import contextlib

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError, BleakGATTProtocolError
from bumble.pairing import PairingConfig

from rolltape.recorder.ble.link import LinkClosed
from rolltape.recorder.ble.visit import HELLO_SECONDS, QUIET_SECONDS
from rolltape.testing.clock import ManualClock
from rolltape.wire import cbor
from rolltape.wire.ble import service, to_device, to_relay
from rolltape.wire.ble.frames import LONGEST_TO_DEVICE, LONGEST_TO_RELAY, Frame, ResultCode, cut, fragment_size
from rolltape.wire.ble.inbox import MOST_ERRORS, Message
from rolltape.wire.ble.service import TAG_SECONDS, Info
from tests.ble import samples
from tests.ble.air import Air, Caller, Place, call, find, told
from tests.ble.sessions import DEVICE, Echo, Raw

NEXT_IS_TAKEN = to_relay.Result(about=0x07, code=0)
virtual_only = pytest.mark.virtual_only


async def answers(caller: Caller) -> bool:
    """Whether the session goes on."""
    await caller.send(to_device.Next())
    return bool(await caller.hear_message() == NEXT_IS_TAKEN)


def hello_of(size: int) -> Frame:
    """A HELLO whose body has exactly this many bytes: what it says in unknown keys is passed over."""
    for padding in range(size):
        body = cbor.encode({1: 1, 2: True, 9: bytes(padding)})
        if len(body) == size:
            return Frame(0x01, body)
    raise AssertionError(f"no HELLO has {size} bytes")


def test_what_is_told_by_advertising_is_a_tag_and_nothing_else(air: Air) -> None:
    async def story() -> None:
        async with air.open() as place, place.recorder(Echo()):
            device, tag = await find(place, DEVICE)
            async with BleakScanner(**place.scanner) as scanner:
                async for found, advertised in scanner.advertisement_data():
                    if found.address == device.address and advertised.service_data:
                        break
            assert advertised.service_uuids == [service.SERVICE]
            assert advertised.service_data == {service.SERVICE: tag}
            assert not advertised.local_name
            assert not advertised.manufacturer_data
            assert int(device.address[:2], 16) >> 6 == 0b01, "a resolvable private address, of a key that nobody has"

    told(story())


def test_each_message_arrives_either_way_as_it_was_sent(air: Air) -> None:
    async def story() -> None:
        session = Echo()
        async with air.open() as place, place.recorder(session), call(place, (await find(place, DEVICE))[0]) as caller:
            for message in samples.TO_DEVICE:
                await caller.send(message)
            assert await caller.hear_message() == to_relay.Welcome(mtu=caller.mtu)
            assert await caller.hear_message() == NEXT_IS_TAKEN
            assert session.heard[: len(samples.TO_DEVICE)] == list(samples.TO_DEVICE)
            for message in samples.TO_RELAY:
                await session.links[0].send(message)
            assert [await caller.hear_message() for _ in samples.TO_RELAY] == list(samples.TO_RELAY)

    told(story())


@pytest.mark.parametrize("response", [True, False], ids=["write", "write-without-response"])
def test_bodies_of_every_size_reach_the_device(air: Air, response: bool) -> None:
    async def story() -> None:
        session = Echo()
        async with air.open() as place, place.recorder(session), call(place, (await find(place, DEVICE))[0]) as caller:
            room = fragment_size(caller.mtu) - 1
            near = [count * room - 4 + delta for count in (1, 2, 3) for delta in (-1, 0, 1)]
            sizes = [size for size in (*near, LONGEST_TO_DEVICE) if size >= 8]
            sent: list[Frame | Message] = [to_device.Offline(), to_device.Grant(b"\xd2"), *map(hello_of, sizes)]
            for message in sent:
                await caller.send(message, response=response)
                if isinstance(message, Frame):
                    await caller.hear_message()
            assert session.heard == [*sent[:2], *[to_device.Hello(online=True)] * len(sizes)]

    told(story())


def test_bodies_of_every_size_reach_the_relay(air: Air) -> None:
    async def story() -> None:
        session = Echo()
        async with air.open() as place, place.recorder(session), call(place, (await find(place, DEVICE))[0]) as caller:
            await session.opened_one.wait()
            room = fragment_size(caller.mtu) - 1
            near = [count * room - 4 + delta for count in (1, 2, 3) for delta in (-1, 0, 1)]
            for size in (0, 1, *near, 4096, LONGEST_TO_RELAY):
                body = bytes(number % 251 for number in range(size))
                caller.fragments.clear()
                await session.links[0].send(Raw(0x86, body))
                await caller.hear()
                assert caller.fragments == list(cut(Frame(0x86, body), caller.mtu))

    told(story())


def wrong(mtu: int) -> dict[str, tuple[list[bytes], ResultCode, int]]:
    """Fragments that are wrong, the code that they bring, and how often."""
    whole = list(cut(Frame(0x02, bytes(3 * fragment_size(mtu))), mtu))
    long = list(cut(Frame(0x02, bytes(LONGEST_TO_DEVICE + 1)), mtu))
    return {
        "out of order": ([whole[0], whole[2], whole[1], *whole[3:]], ResultCode.BAD_FRAMING, 1),
        "a fragment missing": ([whole[0], *whole[2:]], ResultCode.BAD_FRAMING, 1),
        "a fragment doubled": ([*whole[:2], whole[1], *whole[2:]], ResultCode.BAD_FRAMING, 1),
        "no first fragment": (whole[1:], ResultCode.BAD_FRAMING, 1),
        "too long": (long, ResultCode.TOO_LONG, 1),
        "an empty write": ([b""], ResultCode.BAD_FRAMING, 1),
        "longer than it said": ([bytes.fromhex("c0 02 000001 aabb")], ResultCode.BAD_FRAMING, 1),
        "shorter than it said": ([bytes.fromhex("c0 02 000003 aabb")], ResultCode.BAD_FRAMING, 1),
        "an unknown type": ([bytes.fromhex("c0 7e 000000")], ResultCode.UNKNOWN_MESSAGE, 1),
        "the device's own type": ([bytes.fromhex("c0 87 000000")], ResultCode.UNKNOWN_MESSAGE, 1),
        "a body that is no CBOR": ([bytes.fromhex("c0 06 000001 ff")], ResultCode.BAD_BODY, 1),
        "a body of the wrong shape": ([bytes.fromhex("c0 06 000001 80")], ResultCode.BAD_BODY, 1),
        "a grant of no bytes": ([bytes.fromhex("c0 02 000000")], ResultCode.BAD_BODY, 1),
        "a nested body": (list(cut(Frame(0x06, b"\x81" * 4000), mtu)), ResultCode.BAD_BODY, 1),
        "cut off by the next": ([whole[0], *cut(Frame(0x7E, b""), mtu)], ResultCode.BAD_FRAMING, 2),
    }


@pytest.mark.parametrize("name", wrong(23))
def test_what_is_wrong_is_named_once_and_the_session_goes_on(air: Air, name: str) -> None:
    async def story() -> None:
        session = Echo()
        async with air.open() as place, place.recorder(session), call(place, (await find(place, DEVICE))[0]) as caller:
            fragments, code, times = wrong(caller.mtu)[name]
            for fragment in fragments:
                await caller.write(fragment)
            named = [await caller.hear_message() for _ in range(times)]
            assert named[0].code == code
            assert all(isinstance(result, to_relay.Result) for result in named)
            assert await answers(caller)
            assert session.heard == [to_device.Next()]

    told(story())


def test_a_relay_that_says_nothing_but_nonsense_is_sent_away_and_may_come_back(air: Air) -> None:
    async def story() -> None:
        session = Echo()
        async with air.open() as place, place.recorder(session):
            async with call(place, (await find(place, DEVICE))[0]) as caller:
                for _ in range(MOST_ERRORS):
                    await caller.write(bytes.fromhex("c0 7e 000000"), response=False)
                await caller.gone.wait()
            async with call(place, (await find(place, DEVICE))[0]) as caller:
                assert await answers(caller)

    told(story())


def test_a_relay_that_writes_before_it_listens_is_told_so(air: Air) -> None:
    async def story() -> None:
        session = Echo()
        async with (
            air.open() as place,
            place.recorder(session),
            call(place, (await find(place, DEVICE))[0], listen=False) as caller,
        ):
            with pytest.raises(BleakGATTProtocolError) as told_so:
                await caller.send(to_device.Next())
            assert told_so.value.code == 0xFD
            await caller.listen()
            assert await answers(caller)

    told(story())


def test_info_tells_version_flags_and_tag_and_the_others_cannot_be_read(air: Air) -> None:
    async def story() -> None:
        session = Echo()
        session.holds = True
        async with air.open() as place, place.recorder(session):
            device, tag = await find(place, DEVICE)
            async with call(place, device, listen=False) as caller:
                info = Info.decode(bytes(await caller.client.read_gatt_char(service.INFO)))
                assert info == Info(service.VERSION, True, tag)
                for closed in (service.RX, service.TX):
                    with pytest.raises(BleakError):
                        await caller.client.read_gatt_char(closed)

    told(story())


def test_each_connection_and_each_quarter_of_an_hour_brings_a_new_tag_and_address(air: Air) -> None:
    async def story() -> None:
        clock = ManualClock()
        async with air.open() as place, place.recorder(Echo(), clock):
            first, first_tag = await find(place, DEVICE)
            async with call(place, first, listen=False):
                pass
            second, second_tag = await find_another(place, first.address)
            while (found := await find(place, DEVICE))[0].address == second.address:
                clock.advance(TAG_SECONDS)
            third, third_tag = found
            assert len({first_tag, second_tag, third_tag}) == 3
            assert len({first.address, second.address, third.address}) == 3

    told(story())


async def find_another(place: Place, but: str) -> tuple[BLEDevice, bytes]:
    while (found := await find(place, DEVICE))[0].address == but:
        pass
    return found


@virtual_only
def test_while_one_relay_is_there_no_other_gets_in(air: Air) -> None:
    async def story() -> None:
        async with air.open() as place, place.recorder(Echo()):
            assert place.radio is not None
            device, _ = await find(place, DEVICE)
            async with place.radio.adapter() as other:
                async with call(place, device) as caller:
                    second = BleakClient(device, backend=other.client, timeout=0.2)
                    with pytest.raises(BleakError):
                        await second.connect()
                    assert await answers(caller)
                device, _ = await find(place, DEVICE)
                async with BleakClient(device, backend=other.client) as second:
                    assert second.is_connected

    told(story())


def test_pairing_encrypts_the_link_by_secure_connections(air: Air) -> None:
    async def story() -> None:
        session = Echo()
        async with air.open() as place, place.recorder(session), call(place, (await find(place, DEVICE))[0]) as caller:
            assert await answers(caller)
            assert not session.links[0].is_encrypted
            await caller.client.pair()
            assert await answers(caller)
            assert session.links[0].is_encrypted

    told(story())


def test_a_system_that_pairs_only_when_asked_is_asked_by_reading_pair(air: Air) -> None:
    async def story() -> None:
        async with air.open() as place, place.recorder(Echo()), call(place, (await find(place, DEVICE))[0]) as caller:
            if place.radio is not None:  # a virtual central shows the error, upon which others pair
                with pytest.raises(BleakGATTProtocolError) as asked:
                    await caller.client.read_gatt_char(service.PAIR)
                assert asked.value.code == 0x0F
                await caller.client.pair()
            assert bytes(await caller.client.read_gatt_char(service.PAIR)) == bytes([service.VERSION])

    told(story())


@virtual_only
def test_a_link_paired_the_old_way_does_not_count_as_encrypted(air: Air) -> None:
    async def story() -> None:
        session = Echo()
        async with air.open() as place, place.recorder(session), call(place, (await find(place, DEVICE))[0]) as caller:
            adapter = place.client["backend"].adapter
            adapter.device.pairing_config_factory = lambda _: PairingConfig(sc=False, mitm=False, bonding=False)
            await caller.client.pair()
            assert await answers(caller)
            assert not session.links[0].is_encrypted

    told(story())


def test_a_relay_that_leaves_is_noticed_and_nothing_more_is_sent_to_it(air: Air) -> None:
    async def story() -> None:
        session = Echo()
        async with air.open() as place, place.recorder(session):
            async with call(place, (await find(place, DEVICE))[0]) as caller:
                assert await answers(caller)
            await session.closed_one.wait()
            with pytest.raises(LinkClosed):
                await session.links[0].send(NEXT_IS_TAKEN)
            await session.links[0].close()
            assert (len(session.links), session.ends) == (1, 1)

    told(story())


def test_a_relay_that_stops_listening_is_sent_away(air: Air) -> None:
    async def story() -> None:
        session = Echo()
        async with air.open() as place, place.recorder(session), call(place, (await find(place, DEVICE))[0]) as caller:
            assert await answers(caller)
            await caller.client.stop_notify(service.TX)
            await caller.gone.wait()
            await session.closed_one.wait()

    told(story())


@virtual_only
@pytest.mark.parametrize("greets", [False, True])
def test_a_silent_relay_is_sent_away_so_that_another_may_come(air: Air, greets: bool) -> None:
    async def story() -> None:
        clock, session = ManualClock(), Echo()
        async with (
            air.open() as place,
            place.recorder(session, clock),
            call(place, (await find(place, DEVICE))[0]) as caller,
        ):
            if greets:
                assert await answers(caller)
                clock.advance(QUIET_SECONDS - 1)
                assert await answers(caller)
            await session.opened_one.wait()
            while not caller.gone.is_set():
                clock.advance(QUIET_SECONDS if greets else HELLO_SECONDS)
                await asyncio.sleep(0)
            await session.closed_one.wait()

    told(story())


def test_a_session_that_falls_over_costs_its_connection_alone(air: Air) -> None:
    class Clumsy(Echo):
        async def received(self, message: Message) -> None:
            await super().received(message)
            if isinstance(message, to_device.Offline):
                raise RuntimeError("a fault in the session")

    async def story() -> None:
        session = Clumsy()
        async with air.open() as place, place.recorder(session):
            async with call(place, (await find(place, DEVICE))[0]) as caller:
                await caller.send(to_device.Offline(), response=False)
                await caller.gone.wait()
            async with call(place, (await find(place, DEVICE))[0]) as caller:
                assert await answers(caller)
            assert len(session.links) == 2

    told(story())


@virtual_only
def test_a_relay_that_does_not_wait_is_told_that_the_device_is_busy(air: Air) -> None:
    class Slow(Echo):
        def __init__(self) -> None:
            super().__init__()
            self.may = asyncio.Event()

        async def received(self, message: Message) -> None:
            await self.may.wait()
            await super().received(message)

    async def story() -> None:
        session = Slow()
        async with air.open() as place, place.recorder(session), call(place, (await find(place, DEVICE))[0]) as caller:
            for _ in range(40):
                await caller.send(to_device.Next())
            session.may.set()
            codes = [(await caller.hear_message()).code for _ in range(40)]
            assert set(codes) == {ResultCode.OK, ResultCode.BUSY}
            assert codes.count(ResultCode.OK) == len(session.heard)
            assert await answers(caller)
            session.may.clear()
            with contextlib.suppress(BleakError):
                for _ in range(200):
                    await caller.send(to_device.Next())
            session.may.set()
            await caller.gone.wait()

    told(story())
