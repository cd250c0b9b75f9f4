"""The files of one blob in a folder, and every step on them. All of it blocks: call it in a thread.

A blob `med_…XY` has, under `XY/` (its last two characters, so that no folder gets too large):

- `med_…XY`: the whole blob. While it is there, it is the truth.
- `med_…XY.part`: the bytes that have come so far; may be longer than what counts.
- `med_…XY.mark`: how many bytes of `.part` count: 8 bytes, big-endian, and their CRC-32. It is written after the bytes
  are on the disk, so a power cut can't leave a file whose tail was never written, which a file's size alone would hide.

`incoming/` has blobs that arrive in one piece, until they are complete; at start it is emptied of what nobody holds.

`lock` is empty. Whoever holds a blob has a lock on one byte of it (`lockf`), at a place that is made of the blob's id,
so that servers which share a folder don't write one blob at once; a killed process lets go.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rolltape.store.blobs import Absent, Held, NoRoom
from rolltape.wire.ids import is_id

_HASH_PIECE = 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT}


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a new, renamed or removed file is only then sure."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Create `folder`, for the server's own user only, durably."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder.parent)


@contextmanager
def _full_is_no_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoRoom from error
        raise


def write_all(fd: int, data: bytes | bytearray, at: int) -> None:
    """All of `data` at byte `at` of the file. Raises NoRoom when the disk is full; how much is written is then open."""
    view = memoryview(data)
    try:
        with _full_is_no_room():
            while view:
                written = os.pwrite(fd, view, at)
                at += written
                view = view[written:]
    finally:
        view.release()


class FolderLock:
    """Who holds which blob, among the processes on one folder. Within a process `Holders` says so."""

    def __init__(self, root: Path) -> None:
        self._fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def take(self, media_id: str) -> bool:
        """Whether it could be had."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place_of(media_id))
        except (BlockingIOError, PermissionError):  # POSIX lets a system say either
            return False
        return True

    def let_go(self, media_id: str) -> None:
        """Others may have it."""
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _place_of(media_id))

    def close(self) -> None:
        """All are let go."""
        os.close(self._fd)


def _place_of(media_id: str) -> int:
    return int.from_bytes(hashlib.sha256(media_id.encode()).digest()[:8], "big") >> 2


class MediaFiles:
    """The paths of one blob and the steps on them."""

    def __init__(self, root: Path, media_id: str) -> None:
        if not is_id("med", media_id):
            raise ValueError("not a media id")
        self.folder = root / media_id[-2:]
        self.whole = self.folder / media_id
        self.part = self.folder / f"{media_id}.part"
        self.mark = self.folder / f"{media_id}.mark"
        self.incoming = root / "incoming" / media_id

    def look(self) -> Held:
        """What is there."""
        with suppress(FileNotFoundError):
            return Held(self.whole.stat().st_size, whole=True)
        try:
            return Held(min(self._marked(), self.part.stat().st_size), whole=False)
        except FileNotFoundError:
            pass
        # Nothing, unless its writer has sealed it between the two looks.
        with suppress(FileNotFoundError):
            return Held(self.whole.stat().st_size, whole=True)
        return Held(0, whole=False)

    def _marked(self) -> int:
        raw = self.mark.read_bytes()
        if len(raw) != 12 or zlib.crc32(raw[:8]) != int.from_bytes(raw[8:], "big"):
            return 0
        return int.from_bytes(raw[:8], "big")

    def open_part(self, offset: int) -> int:
        """A descriptor of the part file, with nothing in it from `offset` on."""
        fd = self._open_new(self.part, truncate=False)
        try:
            os.ftruncate(fd, offset)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def open_incoming(self) -> int:
        """A descriptor of an empty file for a blob that comes in one piece."""
        return self._open_new(self.incoming, truncate=True)

    def _open_new(self, path: Path, *, truncate: bool) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_TRUNC if truncate else 0)
        with _full_is_no_room():
            make_folder(path.parent)
            return os.open(path, flags, 0o600)

    def save(self, fd: int, size: int) -> None:
        """From now on `size` bytes of the part count: first the bytes, then the mark, each forced to the disk."""
        first = struct.pack(">Q", size)
        new = not self.mark.exists()
        with _full_is_no_room():
            os.fsync(fd)
            mark = os.open(self.mark, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                # 12 bytes in place lie in one disk sector, which is written whole or not at all.
                os.pwrite(mark, first + struct.pack(">I", zlib.crc32(first)), 0)
                os.fsync(mark)
            finally:
                os.close(mark)
            if new:
                sync_folder(self.folder)

    def seal(self) -> Held:
        """Make what counts of the part the whole blob."""
        held = self.look()
        if held.whole or held.size == 0:
            return held
        os.truncate(self.part, held.size)
        self.part.replace(self.whole)
        sync_folder(self.folder)
        self.mark.unlink(missing_ok=True)
        return Held(held.size, whole=True)

    def settle(self, fd: int) -> Held:
        """Make the incoming file the whole blob, in place of everything else."""
        with _full_is_no_room():
            os.fsync(fd)
            make_folder(self.folder)
            self.incoming.replace(self.whole)
            sync_folder(self.folder)
        self.part.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)
        return self.look()

    def drop_incoming(self) -> None:
        """Remove what came of a blob that broke off."""
        self.incoming.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove every file of the blob, durably."""
        # The mark goes first: without it, nothing of the part counts.
        for path in (self.mark, self.part, self.whole, self.incoming):
            path.unlink(missing_ok=True)
        if self.folder.is_dir():
            sync_folder(self.folder)

    def sha256(self) -> str:
        """SHA-256 of what is there, in hex."""
        held = self.look()
        digest = hashlib.sha256()
        if held.size:
            with open(self.whole if held.whole else self.part, "rb") as file:
                left = held.size
                while left and (piece := file.read(min(_HASH_PIECE, left))):
                    digest.update(piece)
                    left -= len(piece)
        return digest.hexdigest()

    def open_whole(self, stop: int) -> int:
        """A descriptor of the whole blob. Raises Absent when there is none of at least `stop` bytes."""
        try:
            fd = os.open(self.whole, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Absent from error
        if os.fstat(fd).st_size < stop:
            os.close(fd)
            raise Absent
        return fd


def check_room(root: Path, wanted: int, reserve: int) -> None:
    """Raises NoRoom unless `wanted` bytes more leave `reserve` bytes free on the disk."""
    if shutil.disk_usage(root).free - wanted < reserve:
        raise NoRoom
