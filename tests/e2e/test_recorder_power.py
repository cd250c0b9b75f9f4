"""After a power cut: what was marked used is never done again, what was found is told, and no recording goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rolltape.recorder.journal import Entry, Journal
from rolltape.recorder.replay_file import ReplayFile
from rolltape.recorder.tapes import Tape, Tapes
from rolltape.running import FolderBusy
from rolltape.testing.recorder import FakeRecorder
from rolltape.testing.script_server import ScriptCommand, ScriptServer
from rolltape.wire.replay import ReplayRecord
from tests.e2e.recorder_rig import recorder_of, recording_of, samples_of, started, stopped


@contextmanager
def known_recorder(folder: Path) -> Iterator[tuple[ScriptServer, FakeRecorder]]:
    """A recorder that is off, and has run before."""
    with ScriptServer() as server:
        recorder = recorder_of(server, folder, keep_uploaded=True)
        with recorder:
            server.wait_until(lambda: server.calls["pending"] > 0)
        yield server, recorder


def tapes_of(recorder: FakeRecorder) -> Tapes:
    """The recordings in its state folder."""
    return Tapes(recorder.settings.state_dir / "recordings")


def cut_off(recorder: FakeRecorder, command: ScriptCommand, *, marked: bool) -> None:
    """Leave the state that a power cut leaves after the go of that command: before, or after it was marked used."""
    folder = recorder.settings.state_dir
    journal, replay = Journal(folder / "journal"), ReplayFile(folder / "replay", has_past=True)
    journal.take(Entry(id=command.id, token=command.grant, seq=command.seq, type=command.type, exp=command.exp))
    if marked:
        replay.mark(command.seq)
    journal.close()
    command.status = "delivered"


def test_a_start_that_was_marked_and_left_nothing_is_interrupted_and_not_tried_again(tmp_path: Path) -> None:
    with known_recorder(tmp_path) as (server, recorder):
        start = server.command("start_recording", offer=False)
        cut_off(recorder, start, marked=True)
        server.commands[start.id] = start
        with recorder:
            assert server.wait_status(start, "failed").error == "interrupted"
            assert recorder.microphone.opened == 0


def test_a_start_that_was_marked_and_left_a_recording_reports_it_and_it_does_not_go_on(tmp_path: Path) -> None:
    with known_recorder(tmp_path) as (server, recorder):
        with recorder:
            donor = recording_of(started(server, max_duration_sec=1))
            server.uploaded(donor)
        start = server.command("start_recording", offer=False)
        cut_off(recorder, start, marked=True)
        server.commands[start.id] = start
        tapes = tapes_of(recorder)
        whole = tapes.sound(donor).read_bytes()
        found = Tape(id="rec_" + "x" * 22, started_ms=server.now_ms(), initiated_by="remote", command_id=start.id)
        tapes.add(found)
        tapes.sound(found.id).write_bytes(whole[: len(whole) // 2])
        opened = recorder.microphone.opened
        with recorder:
            server.wait_status(start, "executed")
            assert recording_of(start) == found.id
            upload = server.uploaded(found.id)
            assert recorder.press("status")["recording"] is None
            assert recorder.microphone.opened == opened
        assert upload.complete is not None
        assert upload.body["command_id"] == start.id
        assert 300 < upload.complete["duration_ms"] < 700
        assert abs(len(samples_of(upload.data)) // 48 - upload.complete["duration_ms"]) <= 1


def test_a_stop_that_was_marked_reports_the_recording_that_it_was_ending(tmp_path: Path) -> None:
    with known_recorder(tmp_path) as (server, recorder):
        with recorder:
            server.refuse["upload_url"] = 10**6
            recording = recording_of(started(server, max_duration_sec=1))
            server.wait_until(lambda: server.calls["upload_url"] > 0)
        stop = server.command("stop_recording", offer=False)
        cut_off(recorder, stop, marked=True)
        server.commands[stop.id] = stop
        tapes = tapes_of(recorder)
        tapes.change(recording, stop_id=stop.id)
        server.refuse["upload_url"] = 0
        with recorder:
            server.wait_status(stop, "executed")
            assert stop.result is not None
            assert (stop.result["recording_id"], stop.result["duration_ms"]) == (recording, 1000)


def test_a_command_that_had_its_go_but_was_not_marked_is_still_obeyed_once(tmp_path: Path) -> None:
    with known_recorder(tmp_path) as (server, recorder):
        start = server.command("start_recording", {"max_duration_sec": 1}, offer=False)
        cut_off(recorder, start, marked=False)
        server.commands[start.id] = start
        with recorder:
            server.wait_status(start, "executed")
            assert start.acks == 1
            server.uploaded(recording_of(start))
        assert recorder.microphone.opened == 1


def test_a_command_that_was_not_marked_and_has_expired_since_is_refused(tmp_path: Path) -> None:
    with known_recorder(tmp_path) as (server, recorder):
        start = server.command("start_recording", ttl=-1, offer=False)
        cut_off(recorder, start, marked=False)
        server.commands[start.id] = start
        with recorder:
            assert server.wait_status(start, "failed").error == "grant_expired"
            assert recorder.microphone.opened == 0


def test_without_its_replay_record_a_command_in_hand_counts_as_done(tmp_path: Path) -> None:
    with known_recorder(tmp_path) as (server, recorder):
        start = server.command("start_recording", offer=False)
        cut_off(recorder, start, marked=False)
        server.commands[start.id] = start
        (tmp_path / "state" / "replay").unlink()
        with recorder:
            assert server.wait_status(start, "failed").error == "interrupted"
            assert recorder.microphone.opened == 0


def test_a_report_that_could_not_be_sent_before_the_power_went_is_sent_after(tmp_path: Path) -> None:
    with known_recorder(tmp_path) as (server, recorder):
        polls = server.calls["pending"]
        with recorder:
            server.wait_until(lambda: server.calls["pending"] > polls)
            server.refuse["report"] = 10**6
            server.refuse["heartbeat"] = 10**6
            start = server.command("start_recording", {"max_duration_sec": 1})
            server.wait_until(lambda: server.calls["report"] > 0)
        assert start.status == "delivered"
        server.refuse.clear()
        with recorder:
            server.wait_status(start, "executed")
        assert recorder.microphone.opened == 1


def test_a_grant_that_was_obeyed_is_refused_after_a_reboot_and_without_the_journal(tmp_path: Path) -> None:
    with known_recorder(tmp_path) as (server, recorder):
        with recorder:
            start = started(server, max_duration_sec=1)
        (tmp_path / "state" / "journal").unlink()
        start.status = "pending"
        server.offer(start)
        with recorder:
            assert server.wait_status(start, "failed").error == "grant_replayed"
        assert recorder.microphone.opened == 1


def test_a_grant_is_marked_on_the_disk_before_the_microphone_opens(tmp_path: Path) -> None:
    with known_recorder(tmp_path) as (server, recorder):
        file = tmp_path / "state" / "replay"
        seen: list[ReplayRecord] = []
        recorder.microphone.when_opened = lambda: seen.append(ReplayRecord.from_bytes(file.read_bytes()[:32]))
        with recorder:
            start = started(server, max_duration_sec=1)
        assert [record.used(start.seq) for record in seen] == [True]


def test_two_recorders_never_run_on_one_folder(tmp_path: Path) -> None:
    with known_recorder(tmp_path) as (server, recorder), recorder:
        second = recorder_of(server, tmp_path)
        with pytest.raises(FolderBusy, match="another recorder runs"):
            second.start()
        started(server)
        stopped(server)
