"""What a relay holds for devices survives a power cut at any write, and never grows without bound."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from rolltape.clock import machine_ms
from rolltape.relay import spool as spools
from rolltape.relay.shelf import STALE_MS, Facts, Shelf, ShelfFull
from rolltape.relay.spool import Spool, SpoolFull, Word

DEVICE = "dev_0H2bQy5fT8nWkR3mZxPc7L"
SOUND = bytes(range(256)) * 10
MB = 1 << 20


def word(number: int, kind: Any = "report", device: str = DEVICE) -> Word:
    return Word(kind=kind, device_id=device, about=f"cmd_{number}", body='{"status":"executed"}')


def facts(sound: bytes = SOUND, number: int = 1) -> Facts:
    return Facts(
        device_id=DEVICE,
        recording_id=f"rec_{number:022d}",
        create="{}",
        complete="{}",
        content_type="audio/ogg",
        size=len(sound),
        sha256=hashlib.sha256(sound).hexdigest(),
    )


class PowerCut(BaseException):
    """The machine is off."""


@contextmanager
def power_cut_before(write: int, patch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The `write`-th call that changes a disk doesn't happen, nor does anything after it."""
    calls = [0]

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if calls[0] == write:
                raise PowerCut
            calls[0] += 1
            return real(*args, **kwargs)

        return call

    with patch.context() as patched, suppress(PowerCut):
        for name in ("fsync", "replace"):
            patched.setattr(os, name, guarded(getattr(os, name)))
        patched.setattr(Path, "unlink", guarded(Path.unlink))
        yield calls


def test_a_word_is_held_over_a_restart_and_gone_once_it_is_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, second = spool.put(word(1)), spool.put(word(2))
    assert [held.word for held in Spool(tmp_path).of(DEVICE)] == [first.word, second.word]
    Spool(tmp_path).done(first)
    assert [held.word for held in Spool(tmp_path).of(DEVICE)] == [second.word]


def test_the_same_word_again_is_held_once_and_a_newer_state_replaces_the_older(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.put(word(1)) == spool.put(word(1))
    for percent in (1, 2, 3):
        spool.put(Word(kind="state", device_id=DEVICE, body=f'{{"battery_percent":{percent}}}'))
    assert [held.word.body for held in Spool(tmp_path).of(DEVICE)] == [word(1).body, '{"battery_percent":3}']


def test_at_a_power_cut_before_any_write_every_word_that_was_taken_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for write in range(60):
        taken: list[Word] = []
        told: list[Word] = []
        folder = tmp_path / str(write)
        with power_cut_before(write, monkeypatch) as calls:
            spool = Spool(folder)
            for number in range(5):
                taken.append(spool.put(word(number)).word)
                if number % 2:
                    told.append(word(number))
                    spool.done(spool.of(DEVICE)[-1])
        found = [held.word for held in Spool(folder).of(DEVICE)]
        assert set(found) >= set(taken) - set(told)
        assert set(found) <= {word(number) for number in range(5)}
        if calls[0] < write:
            return
    pytest.fail("the story has more writes than were looked at")


def test_at_a_power_cut_before_any_write_no_byte_is_believed_that_is_not_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for write in range(60):
        folder = tmp_path / str(write)
        held = 0
        with power_cut_before(write, monkeypatch) as calls:
            tape = Shelf(folder, MB).announce(facts())
            shelf = Shelf(folder, MB)
            while tape.held < tape.size:
                tape = shelf.add(tape, SOUND[tape.held : tape.held + 700])
                held = tape.held
        again = Shelf(folder, MB)
        found = again.get(DEVICE, facts().recording_id)
        if found is not None:
            assert found.held >= held
            while not found.is_whole:
                found = again.add(found, SOUND[found.held : found.held + 700])
            assert again.sound(found).read_bytes() == SOUND
        if calls[0] < write:
            return
    pytest.fail("the story has more writes than were looked at")


KILLED = """
import sys
from pathlib import Path
from rolltape.relay.spool import Spool, Word
spool = Spool(Path(sys.argv[1]))
for number in range(10**6):
    spool.put(Word(kind="report", device_id=f"dev_{number}", about=f"cmd_{number}", body="{}"))
    print(number, flush=True)
"""


def test_a_kill_at_any_moment_leaves_every_word_that_was_taken(tmp_path: Path) -> None:
    for round_ in range(4):
        folder = tmp_path / str(round_)
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(3 * round_ + 1):
            last = int(child.stdout.readline())
        child.kill()
        child.wait()
        last = max([last, *(int(line) for line in child.stdout.read().split())])
        child.stdout.close()
        assert {f"cmd_{number}" for number in range(last + 1)} <= {
            held.word.about for device in Spool(folder).devices() for held in Spool(folder).of(device)
        }


def test_a_damaged_file_is_passed_over_and_the_others_are_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, second = spool.put(word(1)), spool.put(word(2))
    path = sorted(tmp_path.iterdir())[0]
    path.write_bytes(path.read_bytes()[:-3])
    assert [held.word for held in Spool(tmp_path).of(DEVICE)] == [second.word]
    assert first.number == 1


def test_no_device_fills_the_spool_for_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "MOST_OF_ONE", 3)
    spool = Spool(tmp_path)
    for number in range(3):
        spool.put(word(number))
    with pytest.raises(SpoolFull):
        spool.put(word(4))
    spool.put(word(4, device="dev_other"))


def test_the_shelf_takes_no_more_than_it_may(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 3 * len(SOUND))
    for number in range(3):
        shelf.announce(facts(number=number))
    with pytest.raises(ShelfFull):
        shelf.announce(facts(number=4))
    with pytest.raises(ShelfFull):
        Shelf(tmp_path, 1 << 60).announce(Facts(**{**_fields(facts(number=5)), "size": 1 << 50}))


def test_what_was_begun_long_ago_is_let_go_and_what_is_whole_is_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, MB)
    shelf.add(shelf.announce(facts(number=1)), SOUND[:100])
    shelf.add(shelf.announce(facts(number=2)), SOUND)
    long_ago = (machine_ms() - STALE_MS) / 1000 - 60
    for path in tmp_path.iterdir():
        os.utime(path, (long_ago, long_ago))
    again = Shelf(tmp_path, MB)
    assert [kept.recording_id for kept in again.of(DEVICE)] == [facts(number=2).recording_id]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_recording_that_is_told_of_anew_begins_again_and_its_old_bytes_are_gone(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, MB)
    shelf.add(shelf.announce(facts()), SOUND[:100])
    other = SOUND[::-1]
    now = shelf.announce(facts(other))
    assert now.held == 0
    assert shelf.add(now, other).is_whole


def test_a_recording_may_be_told_of_again_while_its_bytes_come_in(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, MB)
    tape = shelf.announce(facts())
    with ThreadPoolExecutor(1) as pool:
        for number in range(200):
            adding = pool.submit(shelf.add, tape, SOUND[tape.held : tape.held + 10])
            shelf.announce(Facts(**{**_fields(facts()), "create": f'{{"n":{number}}}'}))
            tape = adding.result()
    assert Shelf(tmp_path, MB).get(DEVICE, tape.recording_id) == shelf.get(DEVICE, tape.recording_id)
    with pytest.raises(ValueError, match="not as it was"):
        shelf.add(facts(), SOUND[:10])


def test_bytes_that_do_not_fit_the_hash_are_fetched_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, MB)
    wrong = shelf.add(shelf.announce(facts()), bytes(len(SOUND)))
    assert (wrong.held, wrong.is_whole) == (0, False)
    assert shelf.add(wrong, SOUND).is_whole


def _fields(of: Facts) -> dict[str, Any]:
    return {name: getattr(of, name) for name in of.__struct_fields__}
