"""The journal is folded back beside the writer: it stays short, nothing of it is lost, and nobody's lock goes."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import apsw
import pytest

from rolltape.store.sqlite import checkpoints
from rolltape.store.sqlite.checkpoints import SYNC_FAILED, Checkpoints
from rolltape.store.sqlite.database import FILE_NAME, connect, transaction

EACH = 50
PATIENCE = 50_000
"""Commits after which what should have happened by itself won't: far more than a slow thread needs."""


class _Side:
    """A connection that writes, and what folds its journal back."""

    def __init__(self, folder: Path, each: int = EACH) -> None:
        self.db = connect(folder)
        self.db.conn.execute("CREATE TABLE IF NOT EXISTS notes (n INTEGER PRIMARY KEY, text BLOB NOT NULL)")
        self.checkpoints = Checkpoints(folder, self.db.conn, each)
        self.written = 0

    def note(self) -> int:
        """One commit, of a page and more; the pages in the journal then."""
        with transaction(self.db):
            self.db.conn.execute("INSERT INTO notes (text) VALUES (randomblob(4000))")
        self.written += 1
        self.checkpoints.follow()
        return self.checkpoints._pages

    def until_anew(self, times: int = 1) -> int:
        """Writes until the journal has begun anew so often; the most pages that it had."""
        longest = before = self.checkpoints._pages
        for _ in range(PATIENCE):
            pages = self.note()
            longest, times, before = max(longest, pages), times - (pages < before), pages
            if times == 0:
                return longest
        raise AssertionError("the journal only grew")

    def close(self) -> None:
        self.checkpoints.close()
        self.db.conn.close()


@contextmanager
def _writer(folder: Path, each: int = EACH) -> Iterator[_Side]:
    side = _Side(folder, each)
    try:
        yield side
    finally:
        side.close()


def _notes(folder: Path) -> int:
    db = connect(folder, readonly=True)
    assert db.first("PRAGMA integrity_check") == ("ok",)
    found = db.first("SELECT count(*) FROM notes")
    db.conn.close()
    assert found is not None
    return int(found[0])


def test_the_journal_begins_anew_again_and_again_while_commits_go_on(tmp_path: Path) -> None:
    with _writer(tmp_path) as side:
        longest = side.until_anew(20)
        assert longest >= EACH
        assert (tmp_path / FILE_NAME).stat().st_size > (side.written - longest) * 4096, (
            "what isn't there is in the file"
        )
    assert _notes(tmp_path) == side.written


def test_a_round_is_as_long_as_it_is_told_and_not_as_sqlite_would_have_it(tmp_path: Path) -> None:
    db = connect(tmp_path)
    db.conn.execute("PRAGMA wal_autocheckpoint=100")
    db.conn.execute("CREATE TABLE notes (n INTEGER PRIMARY KEY, text BLOB NOT NULL)")
    beside = Checkpoints(tmp_path, db.conn, 100_000)
    size = (tmp_path / FILE_NAME).stat().st_size
    for _ in range(200):
        db.conn.execute("INSERT INTO notes (text) VALUES (randomblob(4000))")
        beside.follow()
    assert (tmp_path / FILE_NAME).stat().st_size == size
    beside.close()
    db.conn.close()


def test_what_is_synced_beside_the_writer_is_the_file_by_a_descriptor_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = list[int]()

    def sync(descriptor: int) -> None:
        assert os.path.samestat(os.fstat(descriptor), (tmp_path / FILE_NAME).stat())
        synced.append(descriptor)

    monkeypatch.setattr(checkpoints, "_sync", sync)
    db = connect(tmp_path)
    the_writers = checkpoints._descriptors(tmp_path / FILE_NAME)
    db.conn.close()
    with _writer(tmp_path) as side:
        side.until_anew(5)
    assert len(synced) >= 5
    assert not the_writers & set(synced)


def test_a_reader_of_what_is_old_holds_up_nobody_and_the_journal_begins_anew_once_it_is_gone(tmp_path: Path) -> None:
    with _writer(tmp_path) as side:
        side.note()
        reader = connect(tmp_path)
        reader.conn.execute("BEGIN")
        assert reader.first("SELECT count(*) FROM notes") == (1,)
        while side.note() < 20 * EACH:
            pass
        assert reader.first("SELECT count(*) FROM notes") == (1,)
        reader.conn.execute("ROLLBACK")
        side.until_anew()
        reader.conn.close()
        side.until_anew(3)
    assert _notes(tmp_path) == side.written


def test_a_writer_that_is_far_ahead_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_it, may_go_on = Event(), Event()

    def sync(descriptor: int) -> None:
        at_it.set()
        may_go_on.wait()

    monkeypatch.setattr(checkpoints, "_sync", sync)
    with _writer(tmp_path) as side:
        waits = checkpoints.MOST_ROUNDS * EACH

        class Told(Event):
            """What the writer waits for: then the disk is done."""

            def wait(self, timeout: float | None = None) -> bool:
                assert side.checkpoints._pages >= EACH + waits
                may_go_on.set()
                return super().wait(timeout)

        side.checkpoints._done = Told()
        while not may_go_on.is_set():
            assert side.note() < EACH + 2 * waits, "nobody waited"
        assert at_it.is_set()
        side.until_anew(2)
    assert _notes(tmp_path) == side.written


def test_what_nobody_foresaw_ends_no_round_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, left = checkpoints._sync, [1]

    def stumble(descriptor: int) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise RuntimeError("unforeseen")
        real(descriptor)

    monkeypatch.setattr(checkpoints, "_sync", stumble)
    monkeypatch.setattr(checkpoints, "MOST_ROUNDS", PATIENCE)  # so that nobody waits for a thread that is gone
    with _writer(tmp_path) as side:
        side.until_anew(3)
    assert left[0] < 0, "it was tried again"
    assert _notes(tmp_path) == side.written


class _Refusing(apsw.VFSFile):
    """A file that can't be synced while `refuses` says so."""

    refuses = False

    def xSync(self, flags: int) -> None:
        if _Refusing.refuses:
            error = apsw.IOError("Input/output error")
            vars(error)["extendedresult"] = apsw.SQLITE_IOERR_FSYNC
            raise error
        super().xSync(flags)


class _Disk(apsw.VFS):
    def __init__(self) -> None:
        self.name, self.base = "refusing", ""
        super().__init__(self.name, self.base)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _Refusing:
        return _Refusing(self.base, name, flags)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_sync_of_sqlites_own_that_fails_ends_the_process_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(BaseException):
        pass

    def end(error: BaseException) -> None:
        raise Ended from error

    monkeypatch.setattr(checkpoints, "_end_here", end)
    disk = _Disk()
    conn = apsw.Connection(str(tmp_path / FILE_NAME), vfs=disk.name)
    conn.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE notes (n)").fetchall()
    monkeypatch.setattr(_Refusing, "refuses", True)
    with pytest.raises(Ended):
        checkpoints._fold(conn)
    monkeypatch.setattr(_Refusing, "refuses", False)
    conn.close()


def test_two_writers_of_one_file_fold_its_journal_back_side_by_side(tmp_path: Path) -> None:
    with _writer(tmp_path) as one, _writer(tmp_path) as other:
        for _ in range(5):
            one.until_anew()
            other.until_anew()
    assert _notes(tmp_path) == one.written + other.written


def _try_to_own(folder: str) -> None:
    """As another process: exits with 0 where the file is somebody's."""
    conn = apsw.Connection(str(Path(folder) / FILE_NAME))
    try:
        conn.execute("PRAGMA locking_mode=EXCLUSIVE; BEGIN IMMEDIATE; SELECT * FROM notes").fetchall()
        conn.execute("PRAGMA journal_mode=DELETE").fetchall()
    except apsw.BusyError:
        os._exit(0)
    os._exit(1)


def test_the_writers_locks_outlive_what_worked_beside_it(tmp_path: Path) -> None:
    db = connect(tmp_path)
    db.conn.execute("CREATE TABLE notes (n INTEGER PRIMARY KEY, text BLOB NOT NULL)")
    Checkpoints(tmp_path, db.conn, EACH).close()
    db.rows("SELECT * FROM notes")
    other = multiprocessing.get_context("spawn").Process(target=_try_to_own, args=(str(tmp_path),))
    other.start()
    other.join(30)
    db.conn.close()
    assert other.exitcode == 0


_ENDS = """
import sys
from pathlib import Path
from rolltape.store.sqlite import checkpoints
from tests.unit.test_checkpoints import _Side, {how}

side = _Side(Path(sys.argv[1]))
{how}(side, checkpoints)
for _ in range(100_000):
    side.note()
    print(side.written, flush=True)
"""


def the_disk_refuses(side: _Side, where: object) -> None:
    """Each sync beside the writer fails, as where the disk has lost a page."""

    def refuse(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    where._sync = refuse  # type: ignore[attr-defined]


def it_is_killed(side: _Side, where: object) -> None:
    """The third time that it would sync it is killed, in the midst of a round."""
    real, left = where._sync, [3]  # type: ignore[attr-defined]

    def die(descriptor: int) -> None:
        real(descriptor)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), 9)

    where._sync = die  # type: ignore[attr-defined]


@pytest.mark.parametrize(("how", "code"), [(the_disk_refuses, SYNC_FAILED), (it_is_killed, -9)])
def test_a_process_that_cannot_trust_its_disk_ends_and_what_was_committed_is_there_when_it_starts_again(
    tmp_path: Path, how: Callable[..., None], code: int
) -> None:
    script = _ENDS.format(how=how.__name__)
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == code, run.stderr
    told = int(run.stdout.split()[-1])
    assert _notes(tmp_path) in (told, told + 1)
    with _writer(tmp_path) as side:
        side.until_anew(2)
    assert _notes(tmp_path) >= told + side.written
