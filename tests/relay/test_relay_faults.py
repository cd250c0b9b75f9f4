"""A gateway where things go wrong: connections cut at every step, no network, a server that refuses, two relays."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from rolltape.relay.token import TokenEnded
from rolltape.wire.ble import to_device, to_relay
from tests.relay.dictaphone import Dictaphone
from tests.relay.memory import MemoryRadio
from tests.relay.town import Town, told, until


def test_cut_at_every_fragment_nothing_is_lost_and_nothing_runs_twice(town: Town) -> None:
    device = town.dictaphone(sound=os.urandom(600))

    async def story() -> tuple[str, str]:
        radio = MemoryRadio(device)
        radio.cuts = list(range(0, 40))
        async with town.gateway(radio):
            start = town.command(device)
            await device.until(lambda: device.obeyed == [start])
            stop = town.command(device, "stop_recording")
            await device.until(lambda: device.obeyed == [start, stop] and not device.holds)
        return start, stop

    for command in told(story()):
        assert town.read(device, command)["status"] == "executed"
        assert town.story(device, command).count("executed") == 1


@pytest.mark.parametrize("keyed", [True, False])
def test_without_a_network_the_grant_is_delivered_and_all_is_told_when_it_is_back(town: Town, keyed: bool) -> None:
    class Far(Dictaphone):
        """It comes near when it is told to."""

        near = False

    device = town.dictaphone(keyed=keyed, kind=Far)

    async def story() -> str:
        radio = MemoryRadio()
        async with town.cable() as cable, town.gateway(radio, server=cable.url) as gateway:
            start = town.command(device)
            assert gateway.parts is not None
            grants = gateway.parts.grants
            await until(lambda: grants.of(device.device_id))
            await cable.cut()
            radio.around.append(device)
            await device.until(lambda: device.obeyed == [start])
            assert any(isinstance(one, to_device.Offline) for one in device.heard)
            assert town.read(device, start)["status"] == "pending"
            await device.until(lambda: device.reports[start].taken)
            await cable.mend()
            await device.until(lambda: not device.reports)
            return start

    start = told(story())
    read = town.read(device, start)
    assert read["status"] == "executed"
    assert read["delivery"]["evidence"] == ("device_signed" if keyed else "relay")


def test_a_gateway_that_ends_offline_tells_all_of_it_when_it_runs_again(town: Town, tmp_path: Path) -> None:
    device = town.dictaphone()
    recording = device.finish_a_tape()
    spool = tmp_path / "kept"

    async def offline() -> None:
        radio = MemoryRadio()
        async with town.cable() as cable, town.gateway(radio, server=cable.url, spool_dir=spool) as gateway:
            start = town.command(device)
            assert gateway.parts is not None
            grants = gateway.parts.grants
            await until(lambda: grants.of(device.device_id))
            await cable.cut()
            radio.around.append(device)
            await device.until(lambda: start in device.reports and device.reports[start].taken)
            await device.until(lambda: device.tapes[recording].taken)

    async def back() -> None:
        async with town.gateway(MemoryRadio(), spool_dir=spool):
            await until(lambda: town.read(device, device.obeyed[0])["status"] == "executed")
            await until(lambda: town.recording(recording).get("status") == "uploaded")

    told(offline())
    told(back())
    assert town.audio(recording) == device.sound
    assert [path.name for path in spool.rglob("*") if path.is_file()] == ["lock"]


def test_two_gateways_on_one_device_do_nothing_twice(town: Town) -> None:
    device = town.dictaphone()

    async def story() -> list[str]:
        radio = MemoryRadio(device)
        device_busy = {"turn_sec": 0.3, "idle_sec": 0.0}
        async with town.gateway(radio, **device_busy), town.gateway(radio, **device_busy):
            start = town.command(device)
            await device.until(lambda: device.obeyed == [start])
            stop = town.command(device, "stop_recording")
            await device.until(lambda: device.obeyed == [start, stop] and not device.holds)
            return [start, stop]

    for command in told(story()):
        assert town.story(device, command).count("executed") == 1


def test_a_token_that_has_ended_stops_the_gateway_and_nobody_is_told_that_it_is_offline(town: Town) -> None:
    class Silent(Dictaphone):
        async def ask_for_go(self, command_id: str) -> None:
            town.web.call("DELETE", f"/v1/relay-tokens?end_user_id={town.user}")
            await super().ask_for_go(command_id)

    device = town.dictaphone(kind=Silent)

    async def story() -> None:
        town.command(device)
        with pytest.raises(TokenEnded):
            async with town.gateway(MemoryRadio(device)) as gateway:
                await until(lambda: gateway.parts is None)

    told(story())
    assert device.obeyed == []
    assert not any(isinstance(one, to_device.Offline) for one in device.heard)


def test_a_new_token_in_the_file_goes_on_where_the_old_one_ended(town: Town, tmp_path: Path) -> None:
    device = town.dictaphone()
    file = tmp_path / "token"
    file.write_text(town.token() + "\n")

    async def story() -> None:
        async with town.gateway(MemoryRadio(device), token_file=file) as gateway:
            parts = gateway.parts
            assert parts is not None
            await until(lambda: parts.devices)
            town.web.call("DELETE", f"/v1/relay-tokens?end_user_id={town.user}")
            await parts.token_ended.wait()
            start = town.command(device)
            file.write_text(town.token())
            await device.until(lambda: device.obeyed == [start] and not device.reports)

    told(story())


def test_a_device_of_another_user_is_left_alone(town: Town, tmp_path: Path) -> None:
    device = town.dictaphone()
    file = tmp_path / "token"
    file.write_text(town.token())
    other = town.web.made("/v1/end-users", external_id="bob")["id"]

    async def story() -> None:
        async with town.gateway(MemoryRadio(device), token_file=file) as gateway:
            parts, central = gateway.parts, gateway.central
            assert parts is not None
            assert central is not None
            await device.until(lambda: device.heard)
            file.write_text(town.web.made("/v1/relay-tokens", end_user_id=other)["relay_token"])
            await device.ask()
            await until(lambda: not parts.devices and not central.sessions)

    told(story())
    assert device.visits == 1


def test_what_a_device_that_was_given_back_has_to_tell_still_arrives(town: Town) -> None:
    device = town.dictaphone()

    async def story() -> str:
        radio = MemoryRadio()
        async with town.gateway(radio) as gateway:
            parts = gateway.parts
            assert parts is not None
            await until(lambda: device.device_id in parts.devices)
            recording = str(device.finish_a_tape())
            town.web.call("POST", f"/v1/devices/{device.device_id}/unbind", json={})
            parts.bells.devices.ring()
            await until(lambda: device.device_id in parts.former)
            radio.around.append(device)
            await device.until(lambda: not device.holds)
            return recording

    assert town.recording(told(story()))["status"] == "uploaded"


def test_a_report_that_the_server_refuses_does_not_stop_the_others(town: Town) -> None:
    class Liar(Dictaphone):
        """Its receipts are another's."""

        def sign(self, status: Any, body: bytes | None, **about: Any) -> bytes | None:
            receipt = super().sign(status, body, **about)
            return receipt if receipt is None or status != "executed" else receipt[:-1] + bytes([receipt[-1] ^ 1])

    liar, honest = town.dictaphone(kind=Liar), town.dictaphone()

    async def story() -> tuple[str, str]:
        async with town.gateway(MemoryRadio(liar, honest)):
            lied, told_ = town.command(liar), town.command(honest)
            await honest.until(lambda: honest.obeyed and not honest.reports)
            await liar.until(lambda: liar.obeyed and liar.reports[lied].taken)
            await until(lambda: any(said.status == "delivered" for said in liar.learnt))
            return lied, told_

    lied, told_ = told(story())
    assert town.read(liar, lied)["status"] == "delivered"
    assert town.read(honest, told_)["status"] == "executed"


class Hostile(Dictaphone):
    """It knows a device's id, and sends `junk` after HELLO."""

    junk: Any = b""

    async def on_hello(self, message: to_device.Hello) -> None:
        await super().on_hello(message)
        link: Any = self.link
        for fragment in self.junk:
            await link.notify(fragment)


NESTED = b"\x81" * 60_000
JUNK: dict[str, list[bytes]] = {
    "unreadable": [os.urandom(20) for _ in range(64)],
    "huge": [bytes([0xC0, 0x83, 0xFF, 0xFF, 0xFF]) for _ in range(64)],
}


def _whole(type_: int, body: bytes, size: int = 180) -> list[bytes]:
    data = bytes([type_]) + len(body).to_bytes(3, "big") + body
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    last = len(pieces) - 1
    return [
        bytes([(0x80 if n == 0 else 0) | (0x40 if n == last else 0) | n & 0x3F]) + piece
        for n, piece in enumerate(pieces)
    ]


JUNK["nested"] = _whole(0x83, NESTED) * 9
JUNK["flood"] = _whole(0x84, to_relay.State(json=b"{}").body()) * 2000
JUNK["no JSON"] = _whole(0x83, to_relay.Report(command_id="cmd_" + "A" * 22, json=b"[" * 5000).body()) * 3


@pytest.mark.parametrize("junk", sorted(JUNK))
def test_a_hostile_device_is_left_alone_and_the_others_are_served(town: Town, junk: str) -> None:
    hostile, honest = town.dictaphone(kind=Hostile, keyed=False), town.dictaphone()
    hostile.junk = JUNK[junk]

    async def story() -> None:
        radio = MemoryRadio(hostile, honest)
        async with town.gateway(radio, connections=1, turn_sec=1.0, idle_sec=0.1):
            await asyncio.wait_for(_seen(hostile), 30)
            start = town.command(honest)
            await honest.until(lambda: honest.obeyed == [start] and not honest.reports)

    async def _seen(device: Dictaphone) -> None:
        await device.until(lambda: device.heard)

    told(story())
    assert hostile.visits <= 3


def test_a_device_that_never_says_hello_does_not_keep_its_place(town: Town) -> None:
    class Mute(Dictaphone):
        async def on_hello(self, message: to_device.Hello) -> None:
            pass

    mute, honest = town.dictaphone(kind=Mute), town.dictaphone()

    async def story() -> None:
        async with town.gateway(MemoryRadio(mute, honest), connections=1, turn_sec=1.0, idle_sec=0.1):
            await mute.until(lambda: mute.heard)
            start = town.command(honest)
            await honest.until(lambda: honest.obeyed == [start] and not honest.reports)

    told(story())
