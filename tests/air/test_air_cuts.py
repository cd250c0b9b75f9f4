"""The link goes at every message, and the power at every step: nothing is lost, and nothing is done twice."""

import copy
import shutil
from pathlib import Path

import pytest

from rolltape.recorder.replay_file import ReplayFile
from rolltape.testing.recorder import FakeRecorder
from rolltape.testing.script_relay import ScriptRelay
from rolltape.wire.ble import to_device
from rolltape.wire.ble.inbox import Message
from tests.air.air_rig import recorder_of, rig, untold
from tests.e2e.recorder_rig import samples_of

MOST_MESSAGES = 16
STEPS = 12


@pytest.mark.parametrize("after", range(MOST_MESSAGES))
def test_a_relay_that_is_gone_after_any_message_costs_time_alone(tmp_path: Path, after: int) -> None:
    with rig(tmp_path) as (relay, recorder):
        start = relay.command("start_recording", {"max_duration_sec": 1})
        relay.connect(recorder, cut_after=after)
        relay.give(start)
        finish(relay, recorder)
        assert start.status == "executed"
        assert recorder.microphone.opened == 1
        assert {str(report["result"]) for report in start.reports} == {str(start.result)}
        (recording,) = relay.recordings.values()
        assert len(samples_of(recording.data)) == 48_000


def sounds(recorder: FakeRecorder) -> int:
    """How many recordings there are, running or not proved."""
    return int(recorder.ask(lambda parts: len(parts.tapes.all())))


def finish(relay: ScriptRelay, recorder: FakeRecorder) -> None:
    """Connect again and again until all is told and proved."""
    (start,) = relay.commands.values()

    def is_done() -> bool:
        if relay.link is None or relay.link.is_closed:
            relay.connect(recorder)
        if start.status == "pending":
            relay.give(start)
        relay.say(to_device.Next())
        return start.status in {"executed", "failed"} and untold(recorder) == 0 == sounds(recorder)

    relay.wait_until(is_done, "all told and proved", seconds=30)


def test_after_a_power_cut_at_any_step_the_story_is_told_to_its_end(tmp_path: Path) -> None:
    relay = ScriptRelay()
    recorder = recorder_of(relay, tmp_path)
    steps: list[tuple[Path, ScriptRelay]] = []

    def keep(message: Message) -> None:
        """What lies on the disk, and what the server knows, when the device says something."""
        if len(steps) < STEPS:
            folder = tmp_path / f"step-{len(steps)}"
            shutil.copytree(tmp_path / "state", folder / "state", ignore=shutil.ignore_patterns("*.sock", "lock"))
            steps.append((folder, at_this_moment(relay)))

    with recorder:
        start = relay.command("start_recording", {"max_duration_sec": 1})
        relay.when_heard = keep
        relay.connect(recorder)
        relay.give(start)
        finish(relay, recorder)
    assert len(steps) == STEPS
    for folder, server in steps:
        goes_on(folder, server)


def at_this_moment(relay: ScriptRelay) -> ScriptRelay:
    """The same server as it is now, with a relay that is not connected."""
    now = ScriptRelay(signer=relay.signer)
    now.jwks, now.device_id, now.public_key = relay.jwks, relay.device_id, relay.public_key
    now.commands = copy.deepcopy(relay.commands)
    now.recordings = copy.deepcopy(relay.recordings)
    now.counters = list(relay.counters)
    return now


def goes_on(folder: Path, relay: ScriptRelay) -> None:
    """Power up on what was on the disk: a grant that was marked used is never obeyed, any other once."""
    (start,) = relay.commands.values()
    was_used = ReplayFile(folder / "state" / "replay", has_past=True).record.used(start.claims.seq)
    with recorder_of(relay, folder) as recorder:
        finish(relay, recorder)
        assert recorder.microphone.opened == (0 if was_used else 1), folder
        if was_used and start.error is not None:
            assert start.error == "interrupted"
        assert len({str(report) for report in start.reports if "result" in report}) <= 1


def test_the_counter_of_receipts_grows_over_power_cuts_and_over_its_own_loss(tmp_path: Path) -> None:
    relay = ScriptRelay()
    recorder = recorder_of(relay, tmp_path)
    for _ in range(3):
        with recorder:
            relay.connect(recorder)
            relay.wait_until(lambda: bool(relay.states), "a state")
            relay.states.clear()
    (tmp_path / "state" / "receipt-counter").write_bytes(b"torn")
    with recorder:
        relay.connect(recorder)
        relay.wait_until(lambda: bool(relay.states), "a state")
    assert relay.counters == sorted(set(relay.counters))
    assert relay.counters[-1] > 1_700_000_000_000
