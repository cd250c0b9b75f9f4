"""A relay that lies, holds back, changes, repeats and forges: at worst it costs time."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rolltape.testing.clock import ManualClock
from rolltape.testing.recorder import FakeRecorder
from rolltape.testing.script_relay import ScriptRelay
from rolltape.wire.ble import to_device, to_relay
from rolltape.wire.ble.frames import ResultCode
from rolltape.wire.ids import new_id
from rolltape.wire.keys import Ed25519Signer
from tests.air.air_rig import has_time, is_idle, kept, recorder_of, rig, untold

GRANT, ANSWER = 2, 3


def refusal(relay: ScriptRelay, about: int) -> to_relay.Result:
    """The next answer to a message of that type that says no."""
    return relay.wait_for(to_relay.Result, lambda result: result.about == about and result.code != 0)


def settled(relay: ScriptRelay) -> None:
    """All that was said has been taken."""
    relay.heard = [m for m in relay.heard if not (isinstance(m, to_relay.Result) and m.about == 7)]
    relay.say(to_device.Next())
    relay.wait_for(to_relay.Result, lambda result: result.about == 7)


def advance(recorder: FakeRecorder, seconds: float) -> None:
    """Let time go by for the device."""
    clock = recorder.clock
    assert isinstance(clock, ManualClock)
    recorder.ask(lambda parts: clock.advance(seconds))


def trusted(recorder: FakeRecorder) -> int | None:
    return recorder.ask(lambda parts: parts.trusted.now_ms())  # type: ignore[no-any-return]


# --- time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-86_400_000, 86_400_000])
def test_no_clock_is_set_by_an_answer_that_the_server_did_not_sign(tmp_path: Path, shift: int) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.answers = False
        relay.connect(recorder)
        asked = relay.wait_for(to_relay.Challenge)
        good = relay.signer
        relay.signer = Ed25519Signer(good.kid, Ed25519PrivateKey.generate())
        relay.say(to_device.SignedAnswer(relay.answer_to(asked, now=relay.now_ms() + shift)))
        assert refusal(relay, ANSWER).code == ResultCode.BAD_BODY
        assert trusted(recorder) is None
        relay.signer = good
        relay.say(to_device.SignedAnswer(relay.answer_to(asked)))
        has_time(relay, recorder)


def test_an_answer_that_was_held_for_a_minute_can_only_make_grants_end_early(tmp_path: Path) -> None:
    with rig(tmp_path, clock=ManualClock()) as (relay, recorder):
        relay.answers = False
        relay.connect(recorder)
        held = relay.answer_to(relay.wait_for(to_relay.Challenge), now=1_900_000_000_000)
        advance(recorder, 59)
        relay.say(to_device.SignedAnswer(held))
        assert trusted(recorder) == 1_900_000_059_000


def test_an_answer_that_was_held_for_longer_is_none(tmp_path: Path) -> None:
    with rig(tmp_path, clock=ManualClock()) as (relay, recorder):
        relay.answers = False
        relay.connect(recorder)
        held = relay.answer_to(relay.wait_for(to_relay.Challenge))
        advance(recorder, 61)
        relay.say(to_device.SignedAnswer(held))
        assert "no question" in refusal(relay, ANSWER).detail
        assert trusted(recorder) is None


def test_answers_in_the_wrong_order_never_take_the_clock_back(tmp_path: Path) -> None:
    with rig(tmp_path, clock=ManualClock()) as (relay, recorder):
        relay.answers = False
        relay.connect(recorder)
        first = relay.wait_for(to_relay.Challenge)
        relay.say(to_device.Hello(online=True))
        second = relay.wait_for(to_relay.Challenge)
        relay.say(to_device.SignedAnswer(relay.answer_to(second, now=1_900_000_050_000)))
        relay.say(to_device.SignedAnswer(relay.answer_to(first, now=1_900_000_000_000)))
        assert trusted(recorder) == 1_900_000_050_000


def test_yesterdays_answer_is_no_answer_to_todays_nonce_and_none_is_good_twice(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        old = relay.answered[-1]
        relay.say(to_device.SignedAnswer(old))
        assert "no question" in refusal(relay, ANSWER).detail
        relay.answers = False
        start = relay.give(relay.command("start_recording"))
        asked = relay.wait_for(to_relay.Challenge, lambda c: c.command_id == start.id)
        relay.say(to_device.SignedAnswer(old))
        assert "no question" in refusal(relay, ANSWER).detail
        assert asked.nonce not in old
        assert recorder.microphone.opened == 0


# --- answers that are about something else ------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": new_id("dev", 0)},
        {"iss": "ffffffffffffffff"},
        {"gen": 0},
        {"nonce": bytes(16)},
        {"jti": new_id("cmd", 0)},
        {"jti": None},
        {"go": None},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_an_answer_about_something_else_is_no_go(tmp_path: Path, changed: dict[str, Any]) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        relay.answers = False
        start = relay.give(relay.command("start_recording", {"max_duration_sec": 1}))
        asked = relay.wait_for(to_relay.Challenge, lambda c: c.command_id == start.id)
        relay.say(to_device.SignedAnswer(relay.answer_to(asked, **changed)))
        settled(relay)
        assert recorder.microphone.opened == 0
        assert not is_idle(recorder)
        relay.answers = True
        relay.connect(recorder)
        relay.wait_status(start, "executed")


def test_every_changed_byte_of_an_answer_makes_it_none(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.answers = False
        relay.connect(recorder)
        good = relay.answer_to(relay.wait_for(to_relay.Challenge))
        for place in range(len(good)):
            bad = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
            relay.say(to_device.SignedAnswer(bad))
        assert trusted(recorder) is None
        relay.say(to_device.SignedAnswer(good))
        assert trusted(recorder) is not None


# --- grants ---------------------------------------------------------------------------------------------------


def test_every_changed_byte_of_a_grant_makes_it_none(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        start = relay.command("start_recording", {"max_duration_sec": 1})
        for place in range(len(start.grant)):
            for bit in (0x01, 0x80):
                bad = start.grant[:place] + bytes([start.grant[place] ^ bit]) + start.grant[place + 1 :]
                relay.say(to_device.Grant(bad))
                assert refusal(relay, GRANT).detail == "grant_invalid"
        assert recorder.ask(lambda parts: parts.journal.all()) == []
        relay.wait_status(relay.give(start), "executed")


@pytest.mark.parametrize("claim", [{"aud": new_id("dev", 0)}, {"iss": "ffffffffffffffff"}, {"gen": 2}, {"seq": 0}])
def test_a_grant_that_is_not_for_this_device_is_refused(tmp_path: Path, claim: dict[str, Any]) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        relay.give(relay.command("start_recording", **claim))
        assert refusal(relay, GRANT).detail == "grant_invalid"
        assert untold(recorder) == 0


def test_a_grant_that_was_obeyed_is_never_obeyed_again(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        start = relay.give(relay.command("start_recording", {"max_duration_sec": 1}))
        relay.wait_status(start, "executed")
        for _ in range(3):
            relay.give(start)
            relay.say(to_device.Grant(relay.fresh(start)))
        relay.connect(recorder)
        relay.give(start)
        settled(relay)
        assert recorder.microphone.opened == 1
        assert {report["status"] for report in start.reports} == {"executed"}


def test_a_grant_that_was_obeyed_is_refused_without_the_journal_and_nothing_new_is_said_of_it(tmp_path: Path) -> None:
    relay = ScriptRelay()
    recorder = recorder_of(relay, tmp_path)
    with recorder:
        relay.connect(recorder)
        start = relay.wait_status(relay.give(relay.command("start_recording", {"max_duration_sec": 1})), "executed")
    (tmp_path / "state" / "journal").unlink()
    with recorder:
        relay.online = relay.answers = False
        relay.connect(recorder)
        relay.give(start)
        assert refusal(relay, GRANT).detail == "grant_replayed"
        settled(relay)
    assert (recorder.microphone.opened, len(start.reports)) == (1, 1)


def test_a_grant_that_comes_too_late_says_nothing_about_its_command_and_a_fresh_one_is_obeyed(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        start = relay.command("start_recording", {"max_duration_sec": 1}, ttl=-1)
        relay.give(start)
        assert refusal(relay, GRANT).detail == "grant_expired"
        settled(relay)
        assert (start.status, untold(recorder)) == ("pending", 0)
        relay.say(to_device.Grant(relay.fresh(start)))
        relay.wait_status(start, "executed")


def test_a_grant_that_ends_in_hand_is_dropped_and_a_fresh_one_is_obeyed(tmp_path: Path) -> None:
    with rig(tmp_path, clock=ManualClock()) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        relay.answers = False
        start = relay.give(relay.command("start_recording", {"max_duration_sec": 1}, ttl=5))
        asked = relay.wait_for(to_relay.Challenge, lambda c: c.command_id == start.id)
        late = relay.answer_to(asked)
        advance(recorder, 8)
        relay.say(to_device.SignedAnswer(late))
        relay.wait_until(lambda: is_idle(recorder), "dropped")
        assert (recorder.microphone.opened, untold(recorder)) == (0, 0)
        relay.answers = True
        relay.say(to_device.Grant(relay.fresh(start)))
        relay.wait_status(start, "executed")


def test_a_start_that_was_held_until_after_its_stop_starts_nothing(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        start = relay.command("start_recording")
        stop = relay.give(relay.command("stop_recording"))
        relay.wait_status(stop, "failed")
        relay.online = relay.answers = False
        relay.connect(recorder)
        relay.give(start)
        assert refusal(relay, GRANT).detail == "superseded"
        settled(relay)
        assert recorder.microphone.opened == 0


def test_a_start_whose_stop_the_device_never_saw_gets_no_go_and_none_later(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        start = relay.command("start_recording")
        relay.command("stop_recording")
        relay.give(start)
        relay.wait_until(lambda: start.acks == 1 and is_idle(recorder), "the no-go")
        relay.online = relay.answers = False
        relay.connect(recorder)
        for grant in (start.grant, relay.fresh(start)):
            relay.say(to_device.Grant(grant))
            assert refusal(relay, GRANT).detail == "grant_replayed"
        assert (recorder.microphone.opened, start.reports) == (0, [])


# --- silence and hints ----------------------------------------------------------------------------------------


def test_a_relay_that_never_asks_for_the_go_is_waited_for_ten_seconds(tmp_path: Path) -> None:
    with rig(tmp_path, clock=ManualClock()) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        relay.answers = False
        start = relay.give(relay.command("start_recording", {"max_duration_sec": 1}))
        relay.wait_for(to_relay.Challenge, lambda c: c.command_id == start.id)
        settled(relay)
        advance(recorder, 9.5)
        settled(relay)
        assert recorder.microphone.opened == 0
        advance(recorder, 1)
        relay.wait_status(start, "executed")


def test_without_time_since_power_up_silence_is_never_a_go(tmp_path: Path) -> None:
    with rig(tmp_path, clock=ManualClock()) as (relay, recorder):
        relay.online = relay.answers = False
        relay.connect(recorder)
        start = relay.give(relay.command("start_recording", {"max_duration_sec": 1}))
        for _ in range(5):
            advance(recorder, 60)
            settled(relay)
        assert (recorder.microphone.opened, untold(recorder)) == (0, 0)
        relay.online = relay.answers = True
        relay.connect(recorder)
        relay.wait_status(start, "executed")


def test_a_stop_needs_no_time_to_end_a_recording(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        recorder.press("start")
        relay.online = relay.answers = False
        relay.connect(recorder)
        relay.wait_status(relay.give(relay.command("stop_recording", seq=50)), "executed")
        assert recorder.press("status")["recording"] is None


def test_a_revoke_stops_nothing_and_forgets_nothing(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        running = relay.wait_status(relay.give(relay.command("start_recording")), "executed")
        relay.say(to_device.Revoke(running.id))
        relay.answers = False
        stop = relay.give(relay.command("stop_recording"))
        asked = relay.wait_for(to_relay.Challenge, lambda c: c.command_id == stop.id)
        relay.say(to_device.Revoke(stop.id))
        settled(relay)
        assert recorder.press("status")["recording"] is not None
        relay.say(to_device.SignedAnswer(relay.answer_to(asked)))
        relay.wait_status(stop, "executed")


def test_a_relay_that_says_that_a_start_was_revoked_is_believed_where_nobody_else_can_be_asked(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        relay.answers = False
        start = relay.give(relay.command("start_recording", {"max_duration_sec": 1}))
        relay.wait_for(to_relay.Challenge, lambda c: c.command_id == start.id)
        relay.say(to_device.Revoke(start.id), to_device.Offline())
        settled(relay)
        assert recorder.microphone.opened == 0
        assert not is_idle(recorder)
        relay.answers = True
        relay.connect(recorder)
        relay.wait_status(start, "executed")


def test_before_hello_nothing_is_taken_and_another_version_is_refused(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        relay.heard.clear()
        recorder.on_air(lambda session: relay._open(session, None))
        start = relay.give(relay.command("start_recording"))
        assert refusal(relay, GRANT).code == ResultCode.VERSION
        relay.say(to_device.Hello(online=True, version=2))
        assert refusal(relay, 1).code == ResultCode.VERSION
        relay.give(start)
        assert refusal(relay, GRANT).code == ResultCode.VERSION
        assert is_idle(recorder)


# --- what is told ---------------------------------------------------------------------------------------------


def test_a_report_is_told_in_each_session_until_a_signed_answer_confirms_it(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        has_time(relay, recorder)
        start = relay.give(relay.command("start_recording", {"max_duration_sec": 1}))
        relay.wait_for(to_relay.Report, lambda told: told.command_id == start.id)
        relay.answers = relay.carries = False
        for _ in range(3):
            relay.connect(recorder)
            relay.wait_for(to_relay.Report, lambda told: told.command_id == start.id)
            relay.say(to_device.Taken(what=0x83, id=start.id))
            assert untold(recorder) == 1
        relay.answers = relay.carries = True
        relay.connect(recorder)
        relay.wait_for(to_relay.Report, lambda told: told.command_id == start.id)
        relay.say(to_device.Next())
        relay.wait_until(lambda: untold(recorder) == 0, "the proof")
        assert recorder.microphone.opened == 1


def test_an_answer_without_the_end_of_the_command_confirms_no_report(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.connect(recorder)
        start = relay.wait_status(relay.give(relay.command("start_recording", {"max_duration_sec": 1})), "executed")
        relay.answers = False
        relay.say(to_device.Next())
        asked = relay.wait_for(to_relay.Challenge, lambda c: c.command_id == start.id and c.ack_receipt is None)
        for status in ("pending", "delivered", "expired", "cancelled", None):
            relay.say(to_device.SignedAnswer(relay.answer_to(asked, status=status)))
            assert untold(recorder) == 1
            relay.say(to_device.Next())
            asked = relay.wait_for(to_relay.Challenge, lambda c: c.command_id == start.id and c.ack_receipt is None)
        relay.say(to_device.SignedAnswer(relay.answer_to(asked)))
        assert untold(recorder) == 0


def test_sound_is_kept_until_the_server_vouches_for_its_hash(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.fetches = False
        recording = recorder.press("start")["recording_id"]
        recorder.press("stop")
        for _ in range(2):
            relay.connect(recorder)
            relay.wait_for(to_relay.Recording, lambda told: told.recording_id == recording)
            relay.say(to_device.Taken(what=0x85, id=recording), to_device.Next())
            asked = relay.wait_for(to_relay.Challenge, lambda c: c.recording_id == recording)
            for wrong in ({"sha256": bytes(32)}, {"sha256": None}, {"recording_id": "rec_" + "y" * 22}):
                facts = {"recording_id": recording, "sha256": bytes(32)} | wrong
                relay.say(to_device.SignedAnswer(relay.answer_to(asked, **facts)))
                relay.say(to_device.Next())
                asked = relay.wait_for(to_relay.Challenge, lambda c: c.recording_id == recording)
            assert kept(recorder) == 1
        relay.fetches = True
        relay.connect(recorder)
        relay.wait_until(lambda: kept(recorder) == 0, "the proof")
        assert relay.recordings[recording].is_in


def test_no_question_is_open_for_ever_and_their_number_is_bounded(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.answers = False
        relay.connect(recorder)
        first = relay.wait_for(to_relay.Challenge)
        for _ in range(70):
            relay.say(to_device.Hello(online=True))
        last = relay.wait_for(to_relay.Challenge)
        relay.say(to_device.SignedAnswer(relay.answer_to(first)))
        assert "no question" in refusal(relay, ANSWER).detail
        relay.wait_until(lambda: sum(isinstance(m, to_relay.Challenge) for m in relay.heard) >= 69)
        last = [m for m in relay.heard if isinstance(m, to_relay.Challenge)][-1]
        relay.say(to_device.SignedAnswer(relay.answer_to(last)))
        has_time(relay, recorder)


def test_an_answer_in_the_form_of_a_grant_and_a_grant_in_the_form_of_an_answer_are_neither(tmp_path: Path) -> None:
    with rig(tmp_path) as (relay, recorder):
        relay.answers = False
        relay.connect(recorder)
        good = relay.answer_to(relay.wait_for(to_relay.Challenge))
        relay.say(to_device.Grant(good))
        assert refusal(relay, GRANT).detail == "grant_invalid"
        relay.say(to_device.SignedAnswer(relay.command("start_recording").grant))
        assert refusal(relay, ANSWER).code == ResultCode.BAD_BODY
        assert trusted(recorder) is None
