"""The live channel, the device's side: preferred, left at the first doubt, and taken up again."""

import hashlib
from pathlib import Path

import pytest

from rolltape.recorder.journal import Entry, Journal
from rolltape.testing.recorder import FakeRecorder
from rolltape.testing.script_server import ScriptServer
from rolltape.wire.channel import SUBPROTOCOL, Close
from tests.e2e.recorder_rig import channel_rig, recorder_of, recording_of, samples_of, started, stopped, until_up


def test_with_a_channel_everything_goes_over_it_and_no_poll_is_opened(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, recorder):
        start = started(server)
        stopped(server)
        server.uploaded(recording_of(start))
        server.wait_until(lambda: not recorder.ask(lambda p: p.journal.untold()), "every report told")
        server.wait_until(lambda: server.channel.frames["heartbeat"] > 0, "a heartbeat")
        assert [server.calls[name] for name in ("pending", "ack", "report", "heartbeat")] == [0, 0, 0, 0]
        assert (server.channel.frames["ack"], server.channel.frames["report"]) == (2, 2)
        assert recorder.microphone.opened == 1


def test_the_hello_is_the_first_heartbeat_and_brings_time_identity_and_keys(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, recorder):
        (hello,) = server.channel.hellos
        assert (hello["v"], hello["have"], hello["recording"], hello["connection_type"]) == (1, [], None, ["wifi"])
        known = recorder.ask(lambda p: (p.identity.known.device_id, list(p.keys.keys), p.trusted.now_ms()))
        assert known[:2] == (server.device_id, [server.signer.kid])
        assert abs(known[2] - server.now_ms()) < 10_000


def test_time_over_a_connection_that_anybody_could_have_changed_is_no_time(tmp_path: Path) -> None:
    with ScriptServer() as server:
        server.channel.works = True
        address = server.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")
        with FakeRecorder(address, server.token, tmp_path / "state") as recorder:
            until_up(server, recorder)
            start = server.command("start_recording")
            assert server.wait_status(start, "failed").error == "grant_invalid"
            assert recorder.ask(lambda p: (p.trusted.now_ms(), p.keys.wants_keys)) == (None, True)
        assert server.channel.frames["report"] == 1


@pytest.mark.parametrize("how", ["no channel", "refused", "another subprotocol", "silent after the hello"])
def test_where_the_channel_can_not_be_had_the_long_poll_does_its_work(tmp_path: Path, how: str) -> None:
    with ScriptServer() as server:
        server.channel.works = how != "no channel"
        server.channel.refusal = (403, "forbidden") if how == "refused" else None
        server.channel.subprotocol = None if how == "another subprotocol" else SUBPROTOCOL
        server.channel.mute = {"hello"} if how == "silent after the hello" else set()
        with recorder_of(server, tmp_path, http_timeout_sec=3) as recorder:
            started(server, max_duration_sec=1)
            assert server.calls["pending"] > 0
            assert not recorder.ask(lambda p: p.channel.up.is_set())


def test_when_the_channel_comes_the_poll_ends(tmp_path: Path) -> None:
    with ScriptServer() as server, recorder_of(server, tmp_path) as recorder:
        server.wait_until(lambda: server.calls["pending"] > 0, "the first poll")
        server.channel.works = True
        until_up(server, recorder)
        polls = server.calls["pending"]
        started(server, max_duration_sec=1)
        assert server.calls["pending"] == polls
        assert server.channel.frames["ack"] == 1


@pytest.mark.parametrize("code", [1000, Close.RESTART, Close.FAULT, Close.SILENCE, Close.TOKEN_REPLACED])
def test_a_channel_that_was_closed_is_opened_again(tmp_path: Path, code: int) -> None:
    with channel_rig(tmp_path) as (server, _):
        server.channel.close(code)
        server.wait_until(lambda: server.channel.open == 1 and len(server.channel.hellos) == 2, "a new one")
        started(server, max_duration_sec=1)


@pytest.mark.parametrize("code", [Close.REPLACED, Close.TRY_LATER, Close.NO_HELLO])
def test_a_device_that_is_not_wanted_now_does_not_come_back_soon_and_polls(tmp_path: Path, code: int) -> None:
    with channel_rig(tmp_path, channel_most_sec=300.0) as (server, _):
        server.channel.close(code)
        started(server, max_duration_sec=1)
        assert (server.channel.upgrades, server.calls["pending"] > 0) == (1, True)


def test_a_channel_whose_token_has_ended_ends_the_binding(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, recorder):
        start = started(server)
        server.ended = True
        server.channel.close(Close.REVOKED)
        server.wait_until(lambda: recorder.press("status")["token_ended"], "the end of the token")
        server.wait_until(lambda: recorder.press("status")["recording"] is None, "the end of the recording")
        server.uploaded(recording_of(start))


def test_an_upgrade_that_is_answered_token_revoked_ends_the_binding(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, recorder):
        server.ended = True
        server.channel.close(Close.RESTART)
        server.wait_until(lambda: recorder.press("status")["token_ended"], "the end of the token")


@pytest.mark.parametrize("kind", ["ack", "report", "heartbeat"])
def test_a_frame_without_an_answer_goes_by_http_and_the_channel_is_not_trusted_until_heard_again(
    tmp_path: Path, kind: str
) -> None:
    with channel_rig(tmp_path, http_timeout_sec=0.5) as (server, recorder):
        server.channel.mute = {kind}
        start = started(server, max_duration_sec=1)
        server.wait_until(lambda: server.calls[kind] > 0, "the call")
        server.channel.mute = set()
        server.wait_until(lambda: len(server.channel.hellos) > 1, "a new channel")
        server.uploaded(recording_of(start))
        assert recorder.microphone.opened == 1
        assert {report["status"] for report in start.reports} == {"executed"}


def test_an_answer_that_says_nothing_of_use_is_asked_for_again_by_http(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, recorder):
        server.channel.mute = {"ack"}
        start = server.command("start_recording", {"max_duration_sec": 1})
        server.wait_until(lambda: server.channel.frames["ack"] > 0, "the question")
        server.channel.send({"type": "error", "in": "ack", "id": start.id, "code": "internal_error", "message": ""})
        server.wait_status(start, "executed")
        assert server.calls["ack"] == 1
        assert recorder.ask(lambda p: p.channel.up.is_set())


def test_a_command_that_is_revoked_before_its_go_is_dropped(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, recorder):
        server.channel.mute = {"ack"}
        start = server.command("start_recording")
        server.wait_until(lambda: server.channel.frames["ack"] > 0, "the question")
        server.channel.send({"type": "revoked", "id": start.id, "status": "cancelled"})
        server.wait_until(lambda: not recorder.ask(lambda p: p.journal.open_entries()), "dropped")
        server.channel.send({"type": "go", "id": start.id, "status": "delivered"})
        server.wait_status(server.command("stop_recording", offer=False), "pending")
        server.channel.mute = set()
        server.wait_status(server.command("stop_recording"), "failed")
        assert recorder.microphone.opened == 0
        assert start.reports == []


def test_a_command_that_was_acknowledged_on_another_route_is_not_dropped_for_that(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, recorder):
        server.channel.mute = {"ack"}
        start = server.command("start_recording", {"max_duration_sec": 1})
        server.wait_until(lambda: server.channel.frames["ack"] > 0, "the question")
        server.channel.send({"type": "revoked", "id": start.id, "status": "delivered"})
        server.channel.send({"type": "go", "id": start.id, "status": "delivered"})
        server.wait_status(start, "executed")
        assert recorder.microphone.opened == 1


def test_a_recording_that_has_begun_is_not_ended_by_a_revoked_start(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, recorder):
        start = started(server)
        server.channel.send({"type": "revoked", "id": start.id, "status": "cancelled"})
        server.channel.send({"type": "offer", "command": None})
        server.wait_until(lambda: server.channel.frames["heartbeat"] > 0)
        assert recorder.press("status")["recording"] is not None
        assert recording_of(stopped(server)) == recording_of(start)


def test_one_command_by_two_routes_is_done_once(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, recorder):
        server.offer_again = True
        start = started(server, max_duration_sec=1)
        for _ in range(3):
            server.channel.close(1000)
            hellos = len(server.channel.hellos)
            server.wait_until(lambda seen=hellos: len(server.channel.hellos) > seen, "again")  # type: ignore[misc]
        server.uploaded(recording_of(start))
        assert recorder.microphone.opened == 1
        assert {report["status"] for report in start.reports} == {"executed"}


JUNK: list[str | bytes] = [
    "",
    "{",
    "[]",
    '{"type":5}',
    '{"type":"offer"}',
    '{"type":"offer","command":{"id":"cmd_1"}}',
    '{"type":"offer","command":{"id":"../x","grant_token":"a.b.c"}}',
    '{"type":"go"}',
    '{"type":"go","id":"cmd_unknown"}',
    '{"type":"revoked","id":"cmd_unknown","status":"cancelled"}',
    '{"type":"heartbeat","ref":"999","server_time":"3000-01-01T00:00:00.000Z"}',
    '{"type":"hello","v":1,"server_time":"3000-01-01T00:00:00.000Z"}',
    '{"type":"error"}',
    '{"type":"from the future","x":[1,2,{"y":null}]}',
    "[" * 100_000,
    b"\x00\xff",
]


def test_junk_frames_change_nothing(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, recorder):
        for junk in JUNK:
            server.channel.send(junk)
        start = started(server, max_duration_sec=1)
        assert len(server.channel.hellos) == 1
        assert recorder.ask(lambda p: p.trusted.now_ms()) < server.now_ms() + 60_000
        assert [entry.id for entry in recorder.ask(lambda p: p.journal.all())] == [start.id]


def test_a_frame_that_is_too_long_ends_the_channel_and_not_the_recorder(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, _):
        server.channel.send('{"type":"x","y":"' + "z" * (1 << 20) + '"}')
        server.wait_until(lambda: len(server.channel.hellos) == 2, "a new one")
        started(server, max_duration_sec=1)


def test_a_ping_is_answered_with_its_mark(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, _):
        server.channel.send({"type": "ping", "ref": 7})
        server.wait_until(lambda: server.channel.frames["pong"] == 1, "the pong")


def test_a_hello_says_what_is_still_in_hand(tmp_path: Path) -> None:
    with channel_rig(tmp_path, http_timeout_sec=5) as (server, _):
        server.channel.mute = {"ack"}
        server.refuse["ack"] = 10**6
        server.next_heartbeat_sec = 3600
        start = server.command("start_recording")
        server.wait_until(lambda: server.channel.frames["ack"] > 0, "the question")
        server.channel.close(Close.RESTART)
        server.wait_until(lambda: len(server.channel.hellos) == 2, "a new one")
        assert server.channel.hellos[1]["have"] == [start.id]


def test_after_a_power_cut_between_the_go_and_the_act_the_command_is_done_once(tmp_path: Path) -> None:
    with channel_rig(tmp_path) as (server, recorder):
        recorder.stop()
        start = server.command("start_recording", {"max_duration_sec": 1}, offer=False)
        start.status = "delivered"
        server.commands[start.id] = start
        journal = Journal(tmp_path / "state" / "journal")
        journal.take(Entry(start.id, start.grant, start.seq, start.type, start.exp))
        journal.close()
        with recorder:
            server.wait_status(start, "executed")
        assert (recorder.microphone.opened, start.acks, server.channel.hellos[-1]["have"]) == (1, 1, [start.id])


@pytest.mark.parametrize("times", [1, 2, 3, 5])
def test_a_channel_that_drops_at_every_turn_loses_nothing_and_doubles_nothing(tmp_path: Path, times: int) -> None:
    with channel_rig(tmp_path, channel_first_sec=0.02) as (server, recorder):
        for number in range(times):
            start = server.command("start_recording", {"max_duration_sec": 1})
            server.wait_until(lambda kind=("ack", "report")[number % 2]: server.channel.frames[kind] > 0)  # type: ignore[misc]
            server.channel.close(Close.RESTART)
            server.wait_status(start, "executed")
            upload = server.uploaded(recording_of(start))
            assert upload.complete is not None
            assert hashlib.sha256(upload.data).hexdigest() == upload.complete["content_sha256"]
            assert len(samples_of(upload.data)) == 48_000
        assert recorder.microphone.opened == times
