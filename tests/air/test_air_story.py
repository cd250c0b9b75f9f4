"""A recorder behind an honest relay: start, stop, the report, the sound, and nothing forgotten before it is proved."""

import hashlib
from pathlib import Path

import pytest

from rolltape.recorder.air.session import Session
from rolltape.recorder.air.tell import MOST_RECORDINGS, MOST_REPORTS
from rolltape.recorder.parts import Parts
from rolltape.recorder.tapes import Tape
from rolltape.testing.script_relay import ScriptRelay
from rolltape.wire import grant
from rolltape.wire.ble import to_device, to_relay
from rolltape.wire.ble.frames import ResultCode
from rolltape.wire.ids import new_id
from tests.air.air_rig import has_time, is_idle, kept, recorder_of, rig, untold
from tests.e2e.recorder_rig import samples_of


@pytest.mark.parametrize("signs", [True, False])
def test_start_and_stop_through_a_relay_with_no_server_of_its_own(tmp_path: Path, signs: bool) -> None:
    with rig(tmp_path, signs=signs) as (relay, recorder):
        relay.connect(recorder)
        start = relay.give(relay.command("start_recording"))
        relay.wait_status(start, "executed")
        stop = relay.give(relay.command("stop_recording"))
        relay.wait_status(stop, "executed")
        assert start.result is not None
        recording = start.result["recording_id"]
        relay.wait_until(lambda: relay.recordings[recording].is_in, "the sound")
        relay.wait_until(lambda: kept(recorder) == 0, "the proof of the sound")
        relay.say(to_device.Next())
        relay.wait_until(lambda: untold(recorder) == 0, "the proof of the reports")
        done = relay.recordings[recording]
        assert done.complete is not None
        assert hashlib.sha256(done.data).hexdigest() == done.complete["content_sha256"]
        assert len(samples_of(done.data)) // 48 == pytest.approx(done.complete["duration_ms"], abs=1)
        assert (recorder.microphone.opened, len(start.reports), len(stop.reports)) == (1, 1, 1)
        assert relay.states[-1]["grant_kids"] == [relay.signer.kid]


def test_welcome_says_what_is_held(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        recorder.press("start")
        recorder.press("stop")
        relay.fetches = False
        relay.connect(recorder)
        welcome = relay.wait_for(to_relay.Welcome)
        assert (welcome.mtu, welcome.reports, welcome.recordings, welcome.version) == (185, 0, 1, 1)
        told = relay.wait_for(to_relay.Recording)
        assert told.sha256 is not None


def test_a_start_before_there_is_time_waits_for_the_answer_that_brings_it(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.answers = False
        relay.connect(recorder)
        start = relay.give(relay.command("start_recording"))
        assert relay.wait_for(to_relay.Result, lambda r: r.about == 2).code == ResultCode.OK
        asked = relay.wait_for(to_relay.Challenge, lambda c: c.command_id == start.id)
        assert recorder.microphone.opened == 0
        relay.say(to_device.SignedAnswer(relay.answer_to(asked)))
        relay.wait_status(start, "executed")


def test_a_recording_that_runs_is_told_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.fetches = False
        relay.connect(recorder)
        recording = recorder.press("start")["recording_id"]
        running = relay.wait_for(to_relay.Recording, lambda told: told.recording_id == recording)
        assert (running.complete, running.sha256) == (None, None)
        relay.say(to_device.Fetch(recording_id=recording, offset=0, length=10))
        assert relay.wait_for(to_relay.Result, lambda r: r.about == 6).code == ResultCode.BUSY
        recorder.press("stop")
        assert relay.wait_for(to_relay.Recording, lambda told: told.complete is not None).recording_id == recording
        relay.wait_until(lambda: [s["device_state"] for s in relay.states][-1] == "uploading", "the state")


def test_a_recording_that_is_held_back_is_told_and_not_given(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        start = relay.give(relay.command("start_recording", {"upload_immediately": False, "max_duration_sec": 1}))
        relay.wait_status(start, "executed")
        assert start.result is not None
        relay.wait_until(lambda: recorder.press("status")["recording"] is None, "the end")
        relay.say(to_device.Fetch(recording_id=start.result["recording_id"], offset=0, length=10))
        assert relay.wait_for(to_relay.Result, lambda r: r.about == 6).code == ResultCode.BUSY
        relay.wait_status(relay.give(relay.command("trigger_upload")), "executed")
        relay.say(to_device.Next())
        relay.wait_until(lambda: kept(recorder) == 0, "the proof")


def test_sound_goes_over_an_encrypted_link_alone(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.encrypted = False
        recorder.press("start")
        recorder.press("stop")
        relay.connect(recorder)
        assert relay.wait_for(to_relay.Result, lambda r: r.about == 6).code == ResultCode.NEEDS_ENCRYPTION
        assert relay.link is not None
        relay.link.is_encrypted = True
        relay.say(to_device.Next())
        relay.wait_until(lambda: kept(recorder) == 0, "the proof")


def test_a_piece_beyond_the_end_and_a_recording_that_is_not_there(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.fetches = False
        recording = recorder.press("start")["recording_id"]
        recorder.press("stop")
        relay.connect(recorder)
        told = relay.wait_for(to_relay.Recording)
        relay.say(to_device.Fetch(recording_id=recording, offset=told.size, length=9))
        assert relay.wait_for(to_relay.Piece).data == b""
        relay.say(to_device.Fetch(recording_id=recording, offset=told.size + 1, length=9))
        assert relay.wait_for(to_relay.Result, lambda r: r.about == 6).code == ResultCode.BAD_BODY
        relay.say(to_device.Fetch(recording_id="rec_" + "x" * 22, offset=0, length=9))
        assert relay.wait_for(to_relay.Gone).recording_id == "rec_" + "x" * 22


def test_a_relay_without_a_network_delivers_and_the_report_comes_with_the_next(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        relay.online = relay.answers = relay.carries = False
        relay.connect(recorder)
        start = relay.give(relay.command("start_recording", {"max_duration_sec": 1}))
        relay.wait_for(to_relay.Report, lambda told: told.command_id == start.id)
        assert (start.status, untold(recorder)) == ("pending", 1)
        relay.online = relay.answers = relay.carries = True
        relay.connect(recorder)
        relay.wait_status(start, "executed")
        relay.say(to_device.Next())
        relay.wait_until(lambda: untold(recorder) == 0, "the proof")
        assert (recorder.microphone.opened, start.acks) == (1, 0)


def test_a_relay_that_says_that_it_has_lost_its_network_makes_the_grant_the_go(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        relay.answers = False
        start = relay.give(relay.command("start_recording", {"max_duration_sec": 1}))
        relay.wait_for(to_relay.Challenge, lambda c: c.command_id == start.id)
        assert recorder.microphone.opened == 0
        relay.say(to_device.Offline())
        relay.wait_status(start, "executed")


def test_a_relay_whose_network_comes_back_is_asked_for_the_proof_on_the_same_connection(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        relay.confirms_taken = False  # it keeps nothing
        relay.online = relay.answers = relay.carries = False
        start = relay.give(relay.command("start_recording", {"max_duration_sec": 1}))
        relay.wait_for(to_relay.Report, lambda told: told.command_id == start.id)
        relay.online = relay.answers = relay.carries = True
        relay.say(to_device.Next())
        relay.wait_status(start, "executed")
        relay.say(to_device.Next())
        relay.wait_until(lambda: untold(recorder) == kept(recorder) == 0, "the proofs")


def test_a_factory_reset_is_through_when_a_signed_answer_says_so_and_the_key_stays(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        relay.wait_status(relay.give(relay.command("factory_reset")), "executed")
        assert (tmp_path / "state" / "identity").exists()
        relay.say(to_device.Next())
        recorder.join()
        assert {path.name for path in (tmp_path / "state").iterdir()} <= {"lock", "device-key", "receipt-counter"}


def test_a_device_bound_anew_learns_it_from_an_answer_and_ends_what_runs(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        relay.wait_status(relay.give(relay.command("start_recording")), "executed")
        relay.generation = 2
        start = relay.give(relay.command("start_recording", gen=2))
        assert relay.wait_for(to_relay.Result, lambda r: r.detail == "grant_invalid").code == ResultCode.GRANT_REFUSED
        relay.say(to_device.Next())
        relay.wait_until(lambda: recorder.ask(lambda p: p.identity.known.generation) == 2, "the generation")
        relay.wait_until(lambda: recorder.press("status")["recording"] is None, "the end of what ran")
        relay.wait_status(relay.give(start), "executed")


def test_a_lost_replay_record_gets_its_floor_from_a_signed_answer(tmp_path: Path) -> None:
    relay = ScriptRelay()
    recorder = recorder_of(relay, tmp_path)
    with recorder:
        relay.connect(recorder)
        old = relay.wait_status(relay.give(relay.command("start_recording", {"max_duration_sec": 1})), "executed")
    (tmp_path / "state" / "replay").unlink()
    (tmp_path / "state" / "journal").unlink()
    with recorder:
        relay.answers = False
        relay.connect(recorder)
        relay.give(old)
        assert relay.wait_for(to_relay.Result, lambda r: r.code != 0).detail == "replay_state_lost"
        asked = relay.wait_for(to_relay.Challenge, lambda c: c.floor)
        relay.say(to_device.SignedAnswer(relay.answer_to(asked)))
        relay.wait_until(lambda: not recorder.press("status")["replay_state_lost"], "the floor")
        relay.give(old)
        assert relay.wait_for(to_relay.Result, lambda r: r.code != 0).detail == "grant_replayed"
        relay.answers = True
        relay.wait_status(relay.give(relay.command("stop_recording")), "failed")
        assert recorder.microphone.opened == 1
        assert [report["status"] for report in old.reports] == ["executed"]


def test_the_grant_of_the_air_rests_in_the_journal_over_a_power_cut(tmp_path: Path) -> None:
    relay = ScriptRelay()
    recorder = recorder_of(relay, tmp_path)
    with recorder:
        relay.answers = False
        relay.connect(recorder)
        start = relay.give(relay.command("start_recording", {"max_duration_sec": 1}))
        relay.wait_for(to_relay.Challenge, lambda c: c.command_id == start.id)
    with recorder:
        assert not is_idle(recorder)
        grants = recorder.ask(lambda p: [entry.grant for entry in p.journal.open_entries()])
        assert grants == [start.grant]
        assert len(start.grant) < grant.MAX_TOKEN_BYTES
        relay.answers = True
        relay.connect(recorder)
        relay.wait_status(start, "executed")
    assert recorder.microphone.opened == 1


def test_recordings_that_are_held_back_stand_in_the_way_of_none(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):

        def hold_back(parts: Parts) -> None:
            for number in range(MOST_RECORDINGS):
                tape = Tape(
                    id=f"rec_{number:022d}", started_ms=number, initiated_by="remote", due=False, is_running=False
                )
                parts.tapes.sound(tape.id).write_bytes(b"sound")
                parts.tapes.add(tape)

        recorder.ask(hold_back)
        recorder.press("start")
        recorder.press("stop")
        relay.connect(recorder)
        relay.wait_until(lambda: kept(recorder) == MOST_RECORDINGS, "the proof of the one that may go")
        relay.say(to_device.Next())
        relay.wait_until(lambda: len(relay.recordings) == MOST_RECORDINGS + 1, "all of them told of")


def test_reports_that_nobody_can_confirm_stand_in_the_way_of_none(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.carries = False
        relay.connect(recorder)
        for _ in range(MOST_REPORTS + 1):
            relay.give(relay.command("trigger_upload"))
        relay.wait_until(lambda: untold(recorder) == MOST_REPORTS + 1, "the reports")
        list(relay.commands.values())[-1].status = "executed"  # of the others no answer says that they ended
        relay.connect(recorder)
        for _ in range(3):
            relay.say(to_device.Next())
        relay.wait_until(lambda: untold(recorder) <= MOST_REPORTS, "the proof of the last")


def test_what_a_relay_says_that_it_has_takes_no_room(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        for number in range(100):
            relay.say(to_device.Taken(what=0x83, id=new_id("cmd", number)))
        assert recorder.ask(lambda parts: len(parts.journal.all())) == 0

        async def held(session: Session) -> int:
            assert session.tell.now is not None
            return len(session.tell.now.taken)

        assert recorder.on_air(held) <= 1
