"""Recordings on their way through: what has been fetched of each, on disk, until the server has it whole.

Two files a recording, named by device and recording: `….facts` (sealed: what the device announced, and how many bytes
are held) and `….sound`. Bytes count once facts say so, which is after they have been flushed: whatever a power cut
leaves behind that is cut off.
"""

import hashlib
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rolltape.clock import machine_ms
from rolltape.durable import read_sealed, remove, seal, write_whole
from rolltape.relay.log import log
from rolltape.wire.ids import is_id

MOST_TAPES = 2_000
"""How many recordings may lie on the shelf; and of one device a quarter, so that none can fill it for the others."""
STALE_MS = 8 * 86_400_000
"""What was begun and not gone on with for so long is let go at the next start: its device has it still."""
_FREE_BYTES = 64 << 20
"""What is left free on the disk for others."""


class ShelfFull(Exception):
    """No room: the device keeps the recording."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a device announced, and how far it is fetched. The bodies are JSON with their receipts inside."""

    device_id: str
    recording_id: str
    create: str
    complete: str
    content_type: str
    size: int
    sha256: str
    held: int = 0
    checked: bool = False

    @property
    def name(self) -> str:
        """The two ids, which name the files."""
        return f"{self.device_id}.{self.recording_id}"

    @property
    def is_whole(self) -> bool:
        """Whether all bytes are held, and are what the device said they would be."""
        return self.checked


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recording is fetched."""

    device_id: str
    recording_id: str
    held: int
    size: int


class Shelf:
    """The recordings in `folder`; made if it isn't there. At most `most_bytes` of sound, as announced.

    A device may announce a recording anew while a piece of it is being written in another thread: one at a time.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._most = folder, most_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._facts: dict[str, Facts] = {}
        self._changing = threading.RLock()
        for path in sorted(folder.glob("*.facts")):
            self._open(path)
        for path in folder.iterdir():
            if path.suffix != ".facts" and path.name.removesuffix(".sound") not in self._facts:
                path.unlink()  # begun, and the power went before its facts were written

    def get(self, device_id: str, recording_id: str) -> Facts | None:
        """What is held of it."""
        return self._facts.get(f"{device_id}.{recording_id}")

    def whole(self) -> list[Facts]:
        """Those that can be uploaded."""
        return [facts for facts in self._facts.values() if facts.is_whole]

    def of(self, device_id: str) -> list[Facts]:
        """Those of one device."""
        return [facts for facts in self._facts.values() if facts.device_id == device_id]

    def sound(self, facts: Facts) -> Path:
        """The file with its bytes."""
        return self._folder / f"{facts.name}.sound"

    def announce(self, facts: Facts) -> Facts:
        """A recording as its device tells of it now; what is held stays if it is still the same. Raises ShelfFull."""
        with self._changing:
            known = self._facts.get(facts.name)
            if known is not None and _is_same(known, facts):
                facts = msgspec.structs.replace(facts, held=known.held, checked=known.checked)
                if facts != known:
                    self._keep(facts)
                return facts
            if known is not None:
                self.drop(known)
            self._find_room(facts)
            self.sound(facts).write_bytes(b"")
            self._keep(facts)
            return facts

    def add(self, facts: Facts, data: bytes) -> Facts:
        """The bytes after those that `facts` knows of: on the disk when this returns. Blocking.

        With the last of them the hash of the whole is checked; where it is wrong, all is fetched again. ValueError for
        more than was announced, and for a recording that is another, or further, than `facts` says.
        """
        with self._changing:
            known = self._facts.get(facts.name)
            if known is None or not _is_same(known, facts) or known.held != facts.held:
                raise ValueError("that recording is not as it was")
            if known.held + len(data) > known.size:
                raise ValueError("more bytes than the recording has")
            return self._append(known, data)

    def _append(self, facts: Facts, data: bytes) -> Facts:
        with self.sound(facts).open("r+b") as file:
            file.truncate(facts.held)
            file.seek(facts.held)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        held = facts.held + len(data)
        checked = held == facts.size and self._is_right(facts)
        if held == facts.size and not checked:
            log(f"{facts.recording_id}: its bytes don't fit their hash: it is fetched again")
            held = 0
        facts = msgspec.structs.replace(facts, held=held, checked=checked)
        self._keep(facts)
        return facts

    def again(self, facts: Facts) -> None:
        """Its bytes here are wrong: fetch them again."""
        with self._changing:
            self._keep(msgspec.structs.replace(facts, held=0, checked=False))

    def is_right(self, facts: Facts) -> bool:
        """Whether the bytes here still fit their hash. Blocking."""
        return self._is_right(facts)

    def drop(self, facts: Facts) -> None:
        """The server has it, or nobody will ever take it."""
        with self._changing:
            self._facts.pop(facts.name, None)
            remove(self._folder / f"{facts.name}.facts")
            remove(self.sound(facts))

    def _is_right(self, facts: Facts) -> bool:
        with self.sound(facts).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == facts.sha256

    def _keep(self, facts: Facts) -> None:
        write_whole(self._folder / f"{facts.name}.facts", seal(facts))
        self._facts[facts.name] = facts

    def _find_room(self, new: Facts) -> None:
        every, own = list(self._facts.values()), self.of(new.device_id)
        missing = sum(facts.size - facts.held for facts in every)
        if (
            len(every) >= MOST_TAPES
            or len(own) >= MOST_TAPES // 4
            or sum(facts.size for facts in every) + new.size > self._most
            or missing + new.size + _FREE_BYTES > shutil.disk_usage(self._folder).free
        ):
            raise ShelfFull

    def _open(self, path: Path) -> None:
        try:
            facts = msgspec.convert(read_sealed(path), Facts)
            if not (is_id("dev", facts.device_id) and is_id("rec", facts.recording_id)):
                raise ValueError("not a device's recording")
            if path.name != f"{facts.name}.facts" or self.sound(facts).stat().st_size < facts.held:
                raise ValueError("not what it says")
        except (ValueError, OSError, msgspec.ValidationError) as error:
            log(f"{path.name}: damaged, passed over ({error}); its device has the recording still")
            path.unlink()
            return
        if not facts.is_whole and machine_ms() - path.stat().st_mtime_ns // 1_000_000 > STALE_MS:
            path.unlink()
            return
        self._facts[facts.name] = facts


def _is_same(one: Facts, other: Facts) -> bool:
    return (one.size, one.sha256) == (other.size, other.sha256)
