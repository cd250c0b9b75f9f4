"""A device with a connection of its own and a relay beside it: the connection is asked first, all is done once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rolltape.recorder.parts import Parts
from rolltape.testing.air_server import AirCommand
from rolltape.testing.recorder import FakeRecorder
from rolltape.testing.script_relay import ScriptRelay
from rolltape.testing.script_server import ScriptCommand, ScriptServer
from rolltape.wire.ble import to_device, to_relay
from rolltape.wire.claims import Claims
from rolltape.wire.cwt import sign
from rolltape.wire.keys import jwk
from tests.air.air_rig import is_idle, untold
from tests.e2e.recorder_rig import recording_of, until_up


@contextmanager
def both(folder: Path, *, channel: bool = True) -> Iterator[tuple[ScriptServer, ScriptRelay, FakeRecorder]]:
    """One deployment that the device reaches by itself, and through a relay."""
    with ScriptServer() as server:
        server.channel.works = channel
        relay = ScriptRelay(signer=server.signer)
        relay.fetches = False
        relay.device_id, relay.iss, relay.jwks = server.device_id, server.iss, {"keys": []}
        binding = relay.binding(grant_keys={"keys": [jwk(server.public)]}, device_token=server.token)
        with FakeRecorder(server.url, server.token, folder / "state", binding=binding) as recorder:
            if channel:
                until_up(server, recorder)
            else:
                server.wait_until(lambda: server.calls["pending"] > 0, "the first poll")
            yield server, relay, recorder


def on_the_air(server: ScriptServer, relay: ScriptRelay, command: ScriptCommand) -> AirCommand:
    """The same command, as a relay has it."""
    claims = Claims(
        iss=server.iss,
        aud=server.device_id,
        jti=command.id,
        seq=command.seq,
        gen=server.generation,
        iat=server.now_ms() // 1000,
        nbf=server.now_ms() // 1000,
        exp=command.exp,
        type=command.type,
        params=command.params,
    )
    relay.commands[command.id] = AirCommand(claims, sign(claims, relay.signer))
    return relay.commands[command.id]


@pytest.mark.parametrize("channel", [True, False])
def test_a_grant_from_the_air_is_asked_for_on_the_own_connection(tmp_path: Path, channel: bool) -> None:
    with both(tmp_path, channel=channel) as (server, relay, recorder):
        start = server.command("start_recording", {"max_duration_sec": 1}, offer=False)
        server.commands[start.id] = start
        start.status = "delivered"  # so that it isn't offered
        relay.connect(recorder)
        relay.give(on_the_air(server, relay, start))
        server.wait_status(start, "executed")
        assert start.acks == 1
        asked = [m for m in relay.heard if isinstance(m, to_relay.Challenge) and m.ack_receipt is not None]
        assert asked == []
        server.uploaded(recording_of(start))


def test_a_no_go_on_the_own_connection_counts_for_a_grant_from_the_air(tmp_path: Path) -> None:
    with both(tmp_path) as (server, relay, recorder):
        start = server.command("start_recording", offer=False)
        server.commands[start.id] = start
        start.status = "cancelled"
        relay.connect(recorder)
        relay.give(on_the_air(server, relay, start))
        server.wait_until(lambda: start.acks == 1 and is_idle(recorder), "the no-go")
        relay.say(to_device.Offline())
        relay.give(relay.commands[start.id])
        assert relay.wait_for(to_relay.Result, lambda r: r.about == 2 and r.code != 0).detail == "grant_replayed"
        assert recorder.microphone.opened == 0


def test_where_the_own_connection_is_gone_the_relay_is_asked(tmp_path: Path) -> None:
    with both(tmp_path, channel=False) as (server, relay, recorder):
        server.offline = True
        server.wake()
        server.wait_until(lambda: not recorder.ask(lambda p: p.api.is_reached), "the loss")
        relay.connect(recorder)
        start = on_the_air(server, relay, server.command("start_recording", {"max_duration_sec": 1}, offer=False))
        relay.wait_status(relay.give(start), "executed")
        relay.wait_for(to_relay.Challenge, lambda asked: asked.command_id == start.id)
        relay.say(to_device.Next())
        relay.wait_until(lambda: untold(recorder) == 0, "the proof")


def test_one_command_by_the_channel_and_by_a_relay_is_done_once(tmp_path: Path) -> None:
    with both(tmp_path) as (server, relay, recorder):
        relay.connect(recorder)
        server.channel.mute = {"ack"}
        start = server.command("start_recording", {"max_duration_sec": 1})
        server.wait_until(lambda: server.channel.frames["ack"] > 0, "the question")
        relay.give(on_the_air(server, relay, start))
        server.channel.send({"type": "go", "id": start.id, "status": "delivered"})
        server.wait_status(start, "executed")
        relay.wait_until(lambda: relay.commands[start.id].status == "executed", "told there too")
        server.uploaded(recording_of(start))
        assert recorder.microphone.opened == 1
        assert {str(report.get("result")) for report in start.reports} == {str(start.result)}


def test_one_command_by_a_relay_and_then_by_the_channel_is_done_once(tmp_path: Path) -> None:
    with both(tmp_path) as (server, relay, recorder):
        relay.connect(recorder)
        server.channel.mute = {"ack"}
        start = server.command("start_recording", {"max_duration_sec": 1}, offer=False)
        relay.give(on_the_air(server, relay, start))
        server.wait_until(lambda: server.channel.frames["ack"] > 0, "the question")
        server.offer(start)
        server.wait_until(
            lambda: not recorder.ask(lambda p: [e for e in p.journal.open_entries() if e.came_by_air]), "longer"
        )
        server.channel.send({"type": "go", "id": start.id, "status": "delivered"})
        server.wait_status(start, "executed")
        server.uploaded(recording_of(start))
        assert recorder.microphone.opened == 1


def test_a_grant_that_came_by_the_own_connection_is_no_go_by_itself(tmp_path: Path) -> None:
    with both(tmp_path, channel=False) as (server, relay, recorder):
        server.refuse["ack"] = 10**6
        server.next_heartbeat_sec = 3600
        server.wait_until(lambda: server.calls["heartbeat"] > 1)
        start = server.command("start_recording")
        server.wait_until(lambda: server.calls["ack"] > 0, "the question")
        relay.online = relay.answers = False
        relay.connect(recorder)
        acks = server.calls["ack"]
        server.wait_until(lambda: server.calls["ack"] > acks + 2, "asked again")
        assert recorder.microphone.opened == 0
        assert start.status == "pending"


@pytest.mark.parametrize("says", ["revoked", "no_go"])
def test_what_the_channel_says_is_over_is_over_for_a_relay_too(tmp_path: Path, says: str) -> None:
    with both(tmp_path) as (server, relay, recorder):
        server.channel.mute = {"ack"}
        start = server.command("start_recording")
        server.wait_until(lambda: server.channel.frames["ack"] > 0, "the question")
        start.status = "cancelled"
        server.channel.send({"type": says, "id": start.id, "status": "cancelled"})
        server.wait_until(lambda: is_idle(recorder), "the end of it")
        relay.online = relay.answers = False
        relay.connect(recorder)
        relay.give(on_the_air(server, relay, start))
        assert relay.wait_for(to_relay.Result, lambda r: r.about == 2).detail == "grant_replayed"
        late = {"id": start.id, "grant_token": start.grant}  # one that was on its way
        server.channel.send({"type": "offer", "command": late})
        server.wait_status(server.command("trigger_upload"), "executed")
        assert (recorder.microphone.opened, start.reports) == (0, [])


def test_a_stop_by_a_relay_waits_behind_nothing_that_the_server_wants_time_for(tmp_path: Path) -> None:
    with both(tmp_path, channel=False) as (server, relay, recorder):
        running = server.wait_status(server.command("start_recording"), "executed")
        server.retry_after = 3600
        server.refuse["ack"] = 10**6
        server.command("trigger_upload")
        server.wait_until(lambda: server.calls["ack"] > 1, "the question")
        relay.connect(recorder)
        stop = on_the_air(server, relay, server.command("stop_recording", offer=False))
        relay.wait_status(relay.give(stop), "executed")
        assert running.status == "executed"


def test_a_server_that_anybody_could_be_says_no_go_that_starts_anything(tmp_path: Path) -> None:
    with both(tmp_path) as (server, _relay, recorder):

        def doubt(parts: Parts) -> None:
            parts.settings = replace(parts.settings, server="http://192.0.2.1")

        recorder.ask(doubt)
        start = server.command("start_recording")
        server.wait_until(lambda: not is_idle(recorder), "the start in hand")
        server.wait_status(server.command("stop_recording"), "failed")
        server.wait_status(start, "failed")
        assert (start.error, start.acks, recorder.microphone.opened) == ("superseded", 0, 0)
