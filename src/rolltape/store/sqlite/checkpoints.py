"""The journal is folded back into the file while commits go on; only the rest of it stands in a commit's way.

SQLite would fold the journal (WAL) back within a commit, and whoever writes waits until thousands of pages are on the
disk. Here a connection of its own does that beside the writer. As commits go on meanwhile, SQLite leaves that part
unsynced (https://sqlite.org/src/file/src/wal.c, `walCheckpoint`: it syncs once the journal is folded back whole), so
all would still wait for the commit that folds the rest: therefore the file is synced beside the writer too. The rest
is done within a commit, as only there nobody writes, and the journal can begin anew. What makes it safe is SQLite's
own sync in that last step; the sync beside it only leaves it little to do.
"""

import logging
import os
from contextlib import suppress
from enum import Enum
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import apsw

from rolltape.store.sqlite.database import FILE_NAME, connect

EACH_PAGES = 16_000
"""Pages of the journal after which it is folded back: 64 MB. The longer it is, the fewer pages are written twice."""
_sync = getattr(os, "fdatasync", os.fsync)

log = logging.getLogger("rolltape.store")


class _Phase(Enum):
    QUIET = 1
    BESIDE = 2  # the other connection is at it
    REST = 3  # it is done: the next commit does what has come since


class Checkpoints:
    """Of the connection that writes: to be closed before it. All commits are made by one thread at a time."""

    def __init__(self, folder: Path, writes: apsw.Connection, each_pages: int = EACH_PAGES) -> None:
        """From now on SQLite's own checkpoints are off on that connection."""
        self._each = self._next = each_pages
        self._pages = 0
        self._phase = _Phase.QUIET
        self._beside, self._descriptor = _another_connection(folder)
        self._todo: SimpleQueue[bool] = SimpleQueue()
        self._thread = Thread(target=self._work, name="rolltape-checkpoints", daemon=True)
        self._thread.start()
        writes.set_wal_hook(self._committed)

    def close(self) -> None:
        """Ends the thread and its connection."""
        self._todo.put(False)
        self._thread.join()
        self._beside.close()

    def _committed(self, writes: apsw.Connection, name: str, pages: int) -> int:
        """After each commit that wrote, with the pages in the journal. What it raised would be the commit's."""
        if pages < self._pages:
            self._next = self._each  # the journal has begun anew
        self._pages = pages
        if self._phase is _Phase.REST:
            self._phase = _Phase.QUIET
            self._next = pages + self._each  # where somebody still reads what is old it can't begin anew
            _fold(writes, name)
        elif self._phase is _Phase.QUIET and pages >= self._next:
            self._phase = _Phase.BESIDE
            self._todo.put(True)
        return apsw.SQLITE_OK

    def _work(self) -> None:
        while self._todo.get():
            if _fold(self._beside, "main") and self._descriptor is not None:
                with suppress(OSError):  # SQLite syncs it once more, and tells
                    _sync(self._descriptor)
            self._phase = _Phase.REST


def _fold(conn: apsw.Connection, name: str) -> bool:
    """As much as can be without waiting for anybody; whether it could be done."""
    try:
        conn.wal_checkpoint(name, apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.BusyError:  # another process is at it
        return False
    except apsw.Error as error:
        log.warning("the journal can't be folded back, and grows: %s", error)
        return False
    return True


def _another_connection(folder: Path) -> tuple[apsw.Connection, int | None]:
    """A connection, with the descriptor of its file where it can be told.

    The file isn't opened once more for that: to close it would drop all locks that this process holds on it. Nor is it
    the writer's, whose own sync has to hear of each error.
    """
    before = _descriptors(folder / FILE_NAME)
    conn = connect(folder).conn
    new = _descriptors(folder / FILE_NAME) - before
    return conn, min(new, default=None)


def _descriptors(file: Path) -> set[int]:
    """Those that this process has on a file; none where the system doesn't tell."""
    found, sought = set[int](), file.stat()
    with suppress(OSError):
        for entry in os.listdir("/dev/fd"):
            with suppress(OSError):  # the one that lists them is closed by now
                if os.path.samestat(os.fstat(int(entry)), sought):
                    found.add(int(entry))
    return found
