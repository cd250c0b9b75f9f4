"""The journal is folded back beside the writer: it stays short, nothing of it is lost, and nobody's lock goes."""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from rolltape.store.sqlite import checkpoints
from rolltape.store.sqlite.checkpoints import Checkpoints
from rolltape.store.sqlite.database import FILE_NAME, SqliteDb, connect, transaction

EACH = 50
FRAME = 4096 + 24
MANY = 5_000


@contextmanager
def _writer(folder: Path, each: int = EACH) -> Iterator[SqliteDb]:
    db = connect(folder)
    db.conn.execute("CREATE TABLE IF NOT EXISTS notes (n INTEGER PRIMARY KEY, text BLOB NOT NULL)")
    beside = Checkpoints(folder, db.conn, each)
    try:
        yield db
    finally:
        beside.close()
        db.conn.close()


def _note(db: SqliteDb) -> int:
    """One commit of one page and more; the pages that the journal's file has room for then."""
    with transaction(db):
        db.conn.execute("INSERT INTO notes (text) VALUES (randomblob(4000))")
    return (Path(db.conn.filename).parent / f"{FILE_NAME}-wal").stat().st_size // FRAME


def _notes(folder: Path) -> int:
    db = connect(folder, readonly=True)
    assert db.first("PRAGMA integrity_check") == ("ok",)
    found = db.first("SELECT count(*) FROM notes")
    db.conn.close()
    assert found is not None
    return int(found[0])


def test_the_journal_begins_anew_while_commits_go_on(tmp_path: Path) -> None:
    with _writer(tmp_path) as db:
        longest = max(_note(db) for _ in range(MANY))
        assert EACH < longest < MANY, "each commit is two pages or more, and it was never as long as all of them"
        assert (tmp_path / FILE_NAME).stat().st_size > MANY * 4096 // 2, "and what isn't there any more is in the file"
    assert _notes(tmp_path) == MANY


def test_before_it_is_long_it_is_left_alone(tmp_path: Path) -> None:
    with _writer(tmp_path, 100_000) as db:
        size = (tmp_path / FILE_NAME).stat().st_size
        for _ in range(2_000):  # SQLite itself would have folded it back after 1,000 pages
            _note(db)
        assert (tmp_path / FILE_NAME).stat().st_size == size


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
    with _writer(tmp_path) as db:
        for _ in range(MANY):
            _note(db)
    assert not the_writers & set(synced)
    assert len(synced) > MANY // EACH // 3, "again and again, not each time after longer"


def test_a_reader_of_what_is_old_holds_up_nobody_and_the_journal_begins_anew_once_it_is_gone(tmp_path: Path) -> None:
    with _writer(tmp_path) as db:
        _note(db)
        reader = connect(tmp_path)
        reader.conn.execute("BEGIN")
        assert reader.first("SELECT count(*) FROM notes") == (1,)
        for _ in range(500):
            long = _note(db)
        assert long >= 1_000, "what the reader may still need stays"
        assert reader.first("SELECT count(*) FROM notes") == (1,)
        reader.conn.execute("ROLLBACK")
        for _ in range(500):
            longer = _note(db)
        assert longer < 2 * long, "a file of a journal keeps its room; this one was written from its start again"
        reader.conn.close()
    assert _notes(tmp_path) == 1_001


def test_two_writers_of_one_file_fold_its_journal_back_side_by_side(tmp_path: Path) -> None:
    with _writer(tmp_path) as one, _writer(tmp_path) as other:
        longest = max(_note(db) for _ in range(1_500) for db in (one, other))
    assert longest < 3_000
    assert _notes(tmp_path) == 3_000


def test_a_disk_that_refuses_fails_no_commit_that_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(checkpoints, "_sync", refuse)
    with _writer(tmp_path) as db:
        longest = max(_note(db) for _ in range(1_000))
    assert longest < 1_000, "SQLite syncs by itself, and tells"
    assert _notes(tmp_path) == 1_000


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
