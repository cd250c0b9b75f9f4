"""A backup is one tar file: the database as of one moment, the master key, and the recordings that it names.

In the copy every device's `seq` counter is 2^20 ahead, and its next binding 2^10: what the old server minted after the
copy was made can't carry the same numbers as what the restored one mints.
"""

import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from rolltape.config import Settings
from rolltape.store.sqlite.database import FILE_NAME, SqliteDb, connect
from rolltape.wiring.build import MASTER_KEY_NAME, master_key_path
from rolltape.wiring.databases import RECORDINGS_NAME, prepare_folder

SEQ_SKIPPED = 2**20
GENERATIONS_SKIPPED = 2**10
Progress = Callable[[int, int], None]
_UNFINISHED = f"{FILE_NAME}.restoring"
_SKIP = "UPDATE device_bindings SET last_seq = last_seq + ?, generation_floor = generation + ?"


class CantBackUp(Exception):
    """The message says what to do."""


def admin_backup(data: Path, target: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Writes a backup of the data folder to `target`, also while its server runs.

    `progress` hears of bytes done and bytes in all. The file is complete or not there, and only its owner can read it.
    Raises CantBackUp, OSError, apsw.Error.
    """
    settings = Settings.from_env(os.environ, data=data)
    if settings.database is not None:
        raise CantBackUp(
            "The database is PostgreSQL: back it up with its own tools (pg_dump, pg_basebackup), together with the "
            f"master key {master_key_path(settings)} and the recordings in {data / RECORDINGS_NAME}."
        )
    if not (data / FILE_NAME).exists():
        raise CantBackUp(f"There is no database in {data}. Name the server's data folder with --data.")
    key = master_key_path(settings)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".rolltape-backup-") as scratch:
        copy = Path(scratch) / FILE_NAME
        _copy_database(data, copy)
        files = [(copy, FILE_NAME), (key, MASTER_KEY_NAME), *_recordings(data)]
        packed = Path(scratch) / "backup.tar"
        done = _pack(packed, files, progress)
        os.replace(packed, target)
    return {"file": str(target), "bytes": target.stat().st_size, "recordings": len(files) - 2, "packed_bytes": done}


def _copy_database(data: Path, copy: Path) -> None:
    db = connect(data)
    try:
        db.conn.execute("VACUUM INTO ?", (str(copy),))
    finally:
        db.conn.close()
    ahead = SqliteDb(apsw.Connection(str(copy)))
    try:
        skip_numbers(ahead)
    finally:
        ahead.conn.close()


def skip_numbers(db: SqliteDb) -> None:
    """Sets all counters so far ahead that what another copy of the database mints meanwhile has no number twice."""
    db.conn.execute(_SKIP, (SEQ_SKIPPED, GENERATIONS_SKIPPED))


def _recordings(data: Path) -> list[tuple[Path, str]]:
    root = data / RECORDINGS_NAME
    found = [(path, path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()]
    return [(path, f"{RECORDINGS_NAME}/{name}") for path, name in found if name.parts[0] not in ("incoming", "lock")]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _for_the_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode = 0o600
    return member


def _pack(packed: Path, files: list[tuple[Path, str]], progress: Progress | None) -> int:
    total = sum(_size(path) for path, _ in files)
    done = 0
    fd = os.open(packed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as out:
        with tarfile.open(fileobj=out, mode="w") as tar:
            for path, name in files:
                try:
                    tar.add(path, name, recursive=False, filter=_for_the_owner)
                except FileNotFoundError:
                    continue  # deleted while we packed; the restored server finds it gone, as it was
                done += tar.getmember(name).size
                if progress is not None:
                    progress(done, total)
        out.flush()
        os.fsync(out.fileno())
    return done


def admin_restore(source: Path, data: Path) -> dict[str, Any]:
    """Unpacks a backup into an empty data folder. Raises CantBackUp, OSError.

    The database comes last, and gets its name once it is whole: a folder that was filled by half is no data folder.
    """
    _check_empty(data)
    prepare_folder(data)
    try:
        with tarfile.open(source, "r:") as tar:
            members = tar.getmembers()
            _check_names(source, [member.name for member in members])
            for member in sorted(members, key=lambda one: one.name == FILE_NAME):
                there = member.replace(name=_UNFINISHED) if member.name == FILE_NAME else member
                tar.extract(there, data, filter="data")
    except tarfile.TarError as error:
        raise CantBackUp(f"{source} is not a whole backup ({error}). Take another copy of it.") from None
    for name, mode in ((MASTER_KEY_NAME, 0o600), (_UNFINISHED, 0o600), (RECORDINGS_NAME, 0o700)):
        if (data / name).exists():
            os.chmod(data / name, mode)
    os.replace(data / _UNFINISHED, data / FILE_NAME)
    return {"data": str(data), "recordings": len(members) - 2}


def _check_empty(data: Path) -> None:
    """Not even a left-over journal may be there: SQLite would take it for one of the restored database."""
    own = (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", MASTER_KEY_NAME, RECORDINGS_NAME)
    there = [name for name in own if (data / name).exists()]
    if there:
        raise CantBackUp(
            f"{data} is in use already: it has {', '.join(there)}. Restore into an empty folder, then serve from that."
        )


def _check_names(source: Path, names: list[str]) -> None:
    allowed = {FILE_NAME, MASTER_KEY_NAME}
    strange = [name for name in names if name not in allowed and not name.startswith(f"{RECORDINGS_NAME}/")]
    if strange or not allowed <= set(names):
        raise CantBackUp(f"{source} is not a backup made by rolltape backup.")
