"""The journal is folded back into the file while commits go on; only the rest of it stands in a commit's way.

SQLite would fold the journal (WAL) back within a commit, and whoever writes waits until thousands of pages are on the
disk. Here a connection of its own does that beside the writer. As commits go on meanwhile, SQLite leaves that part
unsynced (https://sqlite.org/src/file/src/wal.c, `walCheckpoint`: it syncs once the journal is folded back whole), so
all would still wait for the commit that folds the rest: therefore the file is synced beside the writer too. The rest
is done after a commit, before its callers hear, as only then nobody writes, and the journal can begin anew.

SQLite doesn't begin the journal anew before it has synced the file by itself. But where a sync fails the system may
forget which pages it lost, and the next one would find nothing to do: so a failed sync ends the process. When it starts
again SQLite takes all of the journal as not folded back.
"""

import logging
import os
from contextlib import suppress
from enum import Enum
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import NoReturn

import apsw

from rolltape.store.sqlite.database import AUTOCHECKPOINT, FILE_NAME, connect

EACH_PAGES = 16_000
"""Pages of the journal after which it is folded back: 64 MB. The longer it is, the fewer pages are written twice."""
STEPS = 16
"""Where it could not begin anew, as somebody still reads what is old, it is tried again after this part of a round,
then after twice that, up to a whole round."""
MOST_ROUNDS = 4
"""So many rounds behind, the writer waits for the other connection."""
SYNC_FAILED = 75
"""The exit code of a process that couldn't sync its database: EX_TEMPFAIL, "try again"."""
_sync = getattr(os, "fdatasync", os.fsync)

log = logging.getLogger("rolltape.store")


class _Phase(Enum):
    QUIET = 1
    BESIDE = 2  # the other connection is at it
    REST = 3  # it is done: what has come since is to do


class Checkpoints:
    """Of the connection that writes: to be closed before it. One thread at a time commits, and calls `follow`."""

    def __init__(self, folder: Path, writes: apsw.Connection, each_pages: int = EACH_PAGES) -> None:
        """From now on SQLite's own checkpoints are off on that connection."""
        self._writes = writes
        self._each = self._next = each_pages
        self._step = max(each_pages // STEPS, 1)
        self._pages = self._folded = 0
        self._phase = _Phase.QUIET
        self._done = Event()
        self._beside, self._descriptor = _another_connection(folder)
        self._todo: SimpleQueue[bool] = SimpleQueue()
        self._thread = Thread(target=self._work, name="rolltape-checkpoints", daemon=True)
        self._thread.start()
        writes.set_wal_hook(self._note)

    def close(self) -> None:
        """Ends the thread and its connection; SQLite does its own checkpoints again."""
        self._todo.put(False)
        self._thread.join()
        self._beside.close()
        with suppress(apsw.ConnectionClosedError):
            self._writes.wal_autocheckpoint(AUTOCHECKPOINT)

    def follow(self) -> None:
        """After a commit: begins to fold the journal back, or ends it, where it is time."""
        pages = self._pages
        if self._phase is _Phase.BESIDE and pages >= self._next + MOST_ROUNDS * self._each:
            self._done.wait()
        if self._phase is _Phase.REST:
            if pages < self._folded:
                self._phase = _Phase.QUIET  # nobody wrote meanwhile: it was folded back whole, and has begun anew
            elif pages - self._folded <= self._each:
                self._fold_the_rest(pages)
            else:
                self._begin()
        elif self._phase is _Phase.QUIET and pages >= self._next:
            self._begin()

    def _note(self, writes: apsw.Connection, name: str, pages: int) -> int:
        """Within each commit: how many pages the journal has. What this raised would be the commit's."""
        if pages < self._pages:  # it has begun anew
            self._next, self._step = self._each, max(self._each // STEPS, 1)
        self._pages = pages
        return apsw.SQLITE_OK

    def _begin(self) -> None:
        self._phase = _Phase.BESIDE
        self._done.clear()
        self._todo.put(True)

    def _fold_the_rest(self, pages: int) -> None:
        self._phase = _Phase.QUIET
        self._next = pages + self._step  # unless it begins anew with the next commit
        self._step = min(2 * self._step, self._each)
        _fold(self._writes)

    def _work(self) -> None:
        while self._todo.get():
            try:
                folded = _fold(self._beside)
                self._folded = self._pages if folded is None else folded
                self._sync_the_file()
            except Exception:  # else the thread would be gone, and a writer that is far ahead wait for ever
                log.exception("the journal can't be folded back, and grows")
                self._folded = self._pages
            finally:
                self._phase = _Phase.REST
                self._done.set()

    def _sync_the_file(self) -> None:
        if self._descriptor is not None:
            try:
                _sync(self._descriptor)
            except OSError as error:
                _end_here(error)


def _fold(conn: apsw.Connection) -> int | None:
    """As much as can be without waiting for anybody; how many of the journal's pages are in the file then, None where
    it couldn't be done."""
    try:
        _, folded = conn.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.BusyError:  # another process is at it
        return None
    except apsw.Error as error:
        if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_FSYNC:
            _end_here(error)
        log.warning("the journal can't be folded back, and grows: %s", error)
        return None
    return int(folded)


def _end_here(error: BaseException) -> NoReturn:
    log.critical("the disk failed to sync the database; this process ends, and nothing is lost: %s", error)
    os._exit(SYNC_FAILED)


def _another_connection(folder: Path) -> tuple[apsw.Connection, int | None]:
    """A connection, with the descriptor of its file where it can be told.

    The file isn't opened once more for that: to close it would drop all locks that this process holds on it. Nor is it
    the writer's, whose own sync has to hear of each error.
    """
    before = _descriptors(folder / FILE_NAME)
    conn = connect(folder).conn
    new = _descriptors(folder / FILE_NAME) - before
    if len(new) != 1:
        log.debug("it can't be told which descriptor is whose: the journal is synced by commits alone")
    return conn, new.pop() if len(new) == 1 else None


def _descriptors(file: Path) -> set[int]:
    """Those that this process has on a file; none where the system doesn't tell."""
    found, sought = set[int](), file.stat()
    with suppress(OSError):
        for entry in os.listdir("/dev/fd"):
            with suppress(OSError):  # the one that lists them is closed by now
                if os.path.samestat(os.fstat(int(entry)), sought):
                    found.add(int(entry))
    return found
