"""Files that a power cut at any byte can't spoil: sealed lines, the journal, the replay record, the tapes."""

from pathlib import Path

import pytest

from rolltape.durable import read_sealed, seal, unseal, write_whole
from rolltape.recorder.journal import KEEP_TOLD, MOST_OPEN, Entry, Journal
from rolltape.recorder.replay_file import ReplayFile
from rolltape.recorder.tapes import Tape, Tapes
from rolltape.wire.command import Report, ReportError

DONE = Report(status="executed", executed_at="2030-01-01T00:00:00.000Z", result={"recording_id": "rec_1"})
FAILED = Report(status="failed", error=ReportError(code="muted_locally", message="the switch is on"))


def taken(number: int = 1) -> Entry:
    return Entry(id=f"cmd_{number}", token="a.b.c", seq=number, type="start_recording", exp=5)


def test_a_sealed_line_gives_its_value_back() -> None:
    assert unseal(seal({"a": [1, "ä"]})) == {"a": [1, "ä"]}


def test_a_sealed_line_that_is_torn_or_changed_anywhere_is_refused() -> None:
    line = seal({"take": "cmd_1", "seq": 7})
    for end in range(len(line)):
        with pytest.raises(ValueError, match="torn"):
            unseal(line[:end])
    for i in range(len(line)):
        with pytest.raises(ValueError, match=r"torn|JSON"):
            unseal(line[:i] + bytes([line[i] ^ 1]) + line[i + 1 :])


def test_a_file_written_whole_is_private_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    write_whole(path, seal("old"))
    write_whole(path, seal("new"))
    assert read_sealed(path) == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["identity"]


def test_a_write_that_broke_off_leaves_the_old_content(tmp_path: Path) -> None:
    write_whole(tmp_path / "identity", seal("old"))
    (tmp_path / "identity.new").write_bytes(seal("new")[:5])
    assert read_sealed(tmp_path / "identity") == "old"


def test_the_journal_remembers_everything_over_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.take(taken(1))
    journal.take(taken(2))
    journal.end("cmd_2", DONE)
    journal.take(taken(3))
    journal.end("cmd_3", FAILED)
    journal.told("cmd_3")
    journal.take(taken(4))
    journal.drop("cmd_4")
    before = journal.all()
    journal.close()
    after = Journal(tmp_path / "journal")
    assert after.all() == before
    assert [e.id for e in after.open_entries()] == ["cmd_1"]
    assert [e.id for e in after.untold()] == ["cmd_2"]
    after.close()


def test_a_journal_cut_at_any_byte_keeps_every_whole_line_before_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.take(taken(1))
    journal.end("cmd_1", DONE)
    journal.told("cmd_1")
    journal.close()
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in {*range(0, len(whole), 5), *(len(whole) - n for n in range(5))}:
        path.write_bytes(whole[:cut])
        again = Journal(path)
        entry = again.get("cmd_1")
        count = sum(1 for i in range(len(lines)) if cut >= sum(map(len, lines[: i + 1])))
        assert (entry is not None) == (count > 0)
        assert entry is None or (entry.report is not None, entry.told) == (count > 1, count > 2)
        again.take(taken(9))  # what is written next is not glued to the torn line
        again.close()
        last = Journal(path)
        assert last.get("cmd_9") is not None
        last.close()


def test_a_journal_with_a_damaged_line_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    for number in (1, 2, 3):
        journal.take(taken(number))
    journal.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\xff\x00garbage\n" + lines[2])
    again = Journal(path)
    assert [e.id for e in again.all()] == ["cmd_1", "cmd_3"]
    assert again.damaged == 1
    again.close()


def test_the_journal_forgets_old_finished_commands_and_no_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.take(taken(1))
    journal.end("cmd_2", DONE)
    for number in range(3, KEEP_TOLD + 20):
        journal.end(f"cmd_{number}", DONE)
        journal.told(f"cmd_{number}")
    journal.close()
    again = Journal(tmp_path / "journal")
    assert len(again.all()) == KEEP_TOLD + 2
    assert again.get("cmd_1") is not None
    assert [e.id for e in again.untold()] == ["cmd_2"]
    again.close()


def test_the_journal_takes_no_more_when_too_much_is_unfinished(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    was_full = []
    for number in range(MOST_OPEN):
        was_full.append(journal.is_full)
        journal.end(f"cmd_{number}", FAILED)
    was_full.append(journal.is_full)
    journal.told("cmd_0")
    was_full.append(journal.is_full)
    assert was_full == [False] * MOST_OPEN + [True, False]
    journal.close()


def test_a_new_recorder_has_an_empty_replay_record_and_one_with_a_past_has_lost_it(tmp_path: Path) -> None:
    assert ReplayFile(tmp_path / "lost", has_past=True).lost
    fresh = ReplayFile(tmp_path / "fresh", has_past=False)
    assert not fresh.lost
    assert not ReplayFile(tmp_path / "fresh", has_past=True).lost


def test_marks_and_stops_are_on_the_disk_when_the_call_returns(tmp_path: Path) -> None:
    replay = ReplayFile(tmp_path / "replay", has_past=False)
    replay.mark(7)
    replay.saw_stop(9)
    again = ReplayFile(tmp_path / "replay", has_past=True)
    assert again.record == replay.record
    assert again.record.used(7)
    assert again.highest_known == 9


def test_a_replay_record_with_any_byte_changed_is_lost(tmp_path: Path) -> None:
    ReplayFile(tmp_path / "replay", has_past=False).mark(7)
    good = (tmp_path / "replay").read_bytes()
    assert len(good) == 36
    for i in range(len(good)):
        (tmp_path / "replay").write_bytes(good[:i] + bytes([good[i] ^ 0x80]) + good[i + 1 :])
        assert ReplayFile(tmp_path / "replay", has_past=True).lost, i


def test_a_lost_record_begins_again_above_the_floor(tmp_path: Path) -> None:
    replay = ReplayFile(tmp_path / "replay", has_past=True)
    replay.restore(500)
    again = ReplayFile(tmp_path / "replay", has_past=True)
    assert not again.lost
    assert again.record.used(500)
    assert not again.record.used(501)


def test_a_tape_without_sound_is_gone_after_a_crash_and_a_damaged_note_is_passed_over(tmp_path: Path) -> None:
    tapes = Tapes(tmp_path / "recordings")
    tapes.add(Tape(id="rec_" + "a" * 22, started_ms=1, initiated_by="local"))
    (tmp_path / "recordings" / ("rec_" + "b" * 22 + ".json")).write_bytes(b"torn")
    (tmp_path / "recordings" / "rec_short.json").write_bytes(b"torn")
    assert Tapes(tmp_path / "recordings").all() == []
