"""`rolltape move-recordings`: the bytes of recordings from the data folder into the object store that is set.

Each file is hashed, sent, and only then removed here, so it can be broken off and begun again at any time.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rolltape.clock import SystemClock
from rolltape.config import Settings
from rolltape.domain.recordings import EXTENSIONS
from rolltape.store.blobs import Unreachable
from rolltape.store.database import Db
from rolltape.store.sqlite.database import FILE_NAME
from rolltape.wire.recording import ContentType
from rolltape.wiring.admin import NoDatabase
from rolltape.wiring.build import open_objects, place_of
from rolltape.wiring.databases import RECORDINGS_NAME, open_db

if TYPE_CHECKING:
    from rolltape.store.object_blobs import ObjectBlobs

Progress = Callable[[int, int], None]
_MEDIA = """
SELECT r.id, m.content_type, m.content_sha256 FROM media m JOIN recordings r ON r.n = m.recording_n WHERE m.id = ?
"""


class CantMove(Exception):
    """The message says what to do."""


@dataclass(slots=True)
class _Told:
    moved: int = 0
    bytes: int = 0
    broken: int = 0
    unfinished: int = 0
    unknown: int = 0


def admin_move_recordings(data: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Moves every file; how many, and how many stayed: `broken` ones whose hash isn't what the database says,
    `unfinished` uploads, whose devices send them anew, and `unknown` ones, which no recording has.

    `progress` hears of bytes done and bytes in all. Raises CantMove, NoDatabase, Occupied, ValueError, OSError.
    """
    settings = Settings.from_env(os.environ, data=data)
    if settings.database is None and not (data / FILE_NAME).exists():
        raise NoDatabase(f"There is no database in {data}. Name the server's data folder with --data.")
    if settings.recordings is None:
        raise CantMove("Set ROLLTAPE_RECORDINGS to where the recordings are to go, like s3://bucket/prefix.")
    with place_of(settings, sole=True):
        return asyncio.run(_move_all(settings, settings.recordings, progress))


async def _move_all(settings: Settings, url: str, progress: Progress | None) -> dict[str, Any]:
    blobs = open_objects(settings, url, SystemClock())
    try:
        async with open_db(settings) as db:
            return await _move(db, settings, blobs, progress)
    except Unreachable as error:
        raise CantMove(f"{url} can't be reached ({error}). What is moved is moved; go on later.") from None
    finally:
        await blobs.close()


async def _move(db: Db, settings: Settings, blobs: "ObjectBlobs", progress: Progress | None) -> dict[str, Any]:
    files = sorted((settings.data / RECORDINGS_NAME).glob("??/med_*"))
    total = sum(file.stat().st_size for file in files)
    told, done = _Told(), 0
    for file in files:
        size = file.stat().st_size
        await _one(db, blobs, file, told)
        done += size
        if progress is not None:
            progress(done, total)
    return {name: getattr(told, name) for name in _Told.__slots__}


async def _one(db: Db, blobs: "ObjectBlobs", file: Path, told: _Told) -> None:
    row = await db.one(_MEDIA, (file.name.split(".")[0],))
    if row is None:
        told.unknown += 1
    elif file.suffix:
        told.unfinished += file.suffix == ".part"
    elif row[2] is not None and await asyncio.to_thread(_sha256, file) != row[2]:
        told.broken += 1
    else:
        recording_id, content_type, sha256 = row
        name = f"{recording_id}.{EXTENSIONS[cast(ContentType, content_type)]}"
        await blobs.adopt(file.name, file, content_type, name, sha256)
        _gone(file, told)


def _gone(file: Path, told: _Told) -> None:
    told.moved += 1
    told.bytes += file.stat().st_size
    file.unlink()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
