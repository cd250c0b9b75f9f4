"""A gateway between a device and a real server: conversations from the grant to the proof."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rolltape.wire.ble import to_device, to_relay
from tests.relay.dictaphone import Dictaphone, Tape
from tests.relay.memory import MemoryRadio
from tests.relay.town import Town, told, until


@pytest.mark.parametrize("mtu", [23, 185, 517])
@pytest.mark.parametrize("keyed", [True, False])
def test_start_and_stop_go_out_and_the_recording_comes_back(town: Town, mtu: int, keyed: bool) -> None:
    device = town.dictaphone(keyed=keyed)

    async def story() -> list[str]:
        async with town.gateway(MemoryRadio(device, mtu=mtu)):
            start = town.command(device)
            await device.until(lambda: device.obeyed == [start])
            stop = town.command(device, "stop_recording")
            await device.until(lambda: device.obeyed == [start, stop] and not device.holds)
            return [start, stop]

    start, stop = told(story())
    for command in (start, stop):
        read = town.read(device, command)
        assert read["status"] == "executed"
        assert read["delivery"]["evidence"] == ("device_signed" if keyed else "relay")
        assert read["delivery"]["route"] == "relay"
    recording = town.read(device, start)["result"]["recording_id"]
    assert town.recording(recording)["status"] == "uploaded"
    assert town.audio(recording) == device.sound


class LeavesItsSoundUnsigned(Dictaphone):
    """It has a key, and signs everything but what its recordings are."""

    def announcement(self, tape: Tape) -> to_relay.Recording:
        return msgspec.structs.replace(super().announcement(tape), complete_receipt=None)


def test_what_the_server_takes_for_a_claim_alone_is_not_told_as_uploaded(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rolltape.relay")
    device = town.dictaphone(kind=LeavesItsSoundUnsigned)

    async def story() -> str:
        async with town.gateway(MemoryRadio(device)):
            start = town.command(device)
            await device.until(lambda: device.obeyed == [start])
            town.command(device, "stop_recording")
            await until(lambda: "not taken" in caplog.text or "uploaded" in caplog.text)
            return str(town.read(device, start)["result"]["recording_id"])

    recording = told(story())
    assert f"{recording}: uploaded" not in caplog.text
    assert town.recording(recording)["status"] == "pending"
    assert recording in device.tapes


def test_a_device_behind_a_gateway_is_seen_and_its_state_known(town: Town) -> None:
    device = town.dictaphone()
    path = f"/v1/devices/{device.device_id}"

    async def story() -> None:
        async with town.gateway(MemoryRadio(device)):
            await until(lambda: town.web.call("GET", path).json()["battery_percent"] == 77)

    told(story())
    state = town.web.call("GET", f"{path}/state").json()
    assert state["last_seen_by"] == "ble"
    assert not state["online"]


def test_a_stop_overtakes_what_else_waits(town: Town) -> None:
    device = town.dictaphone()
    device.running = device.tapes["rec_x"] = device.tape()
    others = [town.command(device, "trigger_upload") for _ in range(3)]
    stop = town.command(device, "stop_recording")

    async def story() -> None:
        async with town.gateway(MemoryRadio(device)):
            await device.until(lambda: len(device.given) >= 4)

    told(story())
    assert [claims.jti for claims in device.given[:4]] == [stop, *others]


def test_a_command_that_was_cancelled_is_not_obeyed(town: Town) -> None:
    class Slow(Dictaphone):
        """It asks for its go only after the command has been cancelled."""

        async def ask_for_go(self, command_id: str) -> None:
            town.web.call("DELETE", f"/v1/devices/{self.device_id}/commands/{command_id}")
            await super().ask_for_go(command_id)

    device = town.dictaphone(kind=Slow)

    async def story() -> None:
        async with town.gateway(MemoryRadio(device)):
            start = town.command(device)
            await device.until(lambda: any(said.jti == start for said in device.learnt))

    told(story())
    assert [said.go for said in device.learnt if said.jti is not None] == [False]
    assert device.obeyed == []


def test_what_is_no_longer_to_be_done_is_called_back(town: Town) -> None:
    class Silent(Dictaphone):
        """It takes grants and asks for nothing."""

        async def ask_for_go(self, command_id: str) -> None:
            pass

    device = town.dictaphone(kind=Silent)

    async def story() -> None:
        async with town.gateway(MemoryRadio(device)):
            start = town.command(device)
            await device.until(lambda: start in device.open)
            town.web.call("DELETE", f"/v1/devices/{device.device_id}/commands/{start}")
            await device.until(lambda: start not in device.open)

    told(story())


def test_audio_that_needs_an_encrypted_link_gets_one(town: Town) -> None:
    device = town.dictaphone(needs_encryption=True)
    device.finish_a_tape()

    async def story() -> bool:
        radio = MemoryRadio(device)
        async with town.gateway(radio):
            await device.until(lambda: not device.holds)
        return radio.links[0].is_encrypted

    assert told(story())


def test_audio_that_cannot_be_encrypted_stays_on_the_device(town: Town) -> None:
    device = town.dictaphone(needs_encryption=True)
    device.finish_a_tape()

    async def story() -> None:
        async with town.gateway(MemoryRadio(device, may_pair=False)):
            start = town.command(device)
            await device.until(lambda: device.obeyed == [start] and not device.reports)

    told(story())
    assert len(device.tapes) == 2


def test_pieces_that_were_tampered_with_never_become_a_recording(town: Town) -> None:
    class Liar(Dictaphone):
        """Its pieces are whole, and not what it recorded, until `honest`."""

        honest = False

        def piece(self, tape: Any, asked: to_device.Fetch) -> to_relay.Piece:
            right = super().piece(tape, asked)
            if self.honest or asked.offset == 0:
                return right
            return to_relay.Piece(
                recording_id=tape.id, offset=right.offset, total=right.total, data=bytes(len(right.data))
            )

        async def on_fetch(self, message: to_device.Fetch) -> None:
            self.honest = self.honest or sum(isinstance(one, to_device.Fetch) for one in self.heard) > 10
            await super().on_fetch(message)

    device = town.dictaphone(kind=Liar, sound=bytes(range(250)) * 80)
    recording = device.finish_a_tape()

    async def story() -> None:
        async with town.gateway(MemoryRadio(device)):
            await device.until(lambda: not device.holds)

    told(story())
    assert town.recording(recording)["content_sha256"] == hashlib.sha256(device.sound).hexdigest()


def test_a_fetch_goes_on_where_the_last_connection_ended(town: Town, tmp_path: Path) -> None:
    device = town.dictaphone(sound=bytes(range(250)) * 160)
    device.finish_a_tape()

    async def story() -> None:
        radio = MemoryRadio(device)
        radio.cuts = [150]
        async with town.gateway(radio):
            await device.until(lambda: not device.holds)

    told(story())
    asked = [one.offset for one in device.heard if isinstance(one, to_device.Fetch)]
    assert device.visits == 2
    assert sorted(asked) == asked
    assert asked.count(0) == 1
