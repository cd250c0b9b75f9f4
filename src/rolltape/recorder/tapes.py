"""The recordings on this disk. Each is a sound file and a small file beside it that says what it is, written first."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from rolltape.durable import read_sealed, remove, seal, write_whole
from rolltape.recorder.ogg import salvage
from rolltape.wire.ids import is_device_made_recording_id
from rolltape.wire.times import iso


class Tape(msgspec.Struct, kw_only=True, frozen=True):
    """A recording, from the moment before its first sound until the server has all of it.

    due: it may be uploaded (`upload_immediately`, or a `trigger_upload` since). registered: the server knows of it.
    sent: the server has all bytes. stop_id: the command that is ending it, noted first.
    """

    id: str
    started_ms: int
    initiated_by: Literal["local", "remote"]
    command_id: str | None = None
    generation: int | None = None
    due: bool = True
    is_running: bool = True
    ended_ms: int | None = None
    duration_ms: int = 0
    sha256: str | None = None
    registered: bool = False
    sent: bool = False
    uploaded: bool = False
    stop_id: str | None = None


class Tapes:
    """The folder of recordings. Opening it brings those that a crash broke off to an end; none goes on by itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._tapes: dict[str, Tape] = {}
        for path in sorted(folder.glob("rec_*.json")):
            self._recover(path)

    def sound(self, tape_id: str) -> Path:
        """Where the sound of a recording lies."""
        return self._folder / f"{tape_id}.ogg"

    def get(self, tape_id: str) -> Tape | None:
        """The recording with that id."""
        return self._tapes.get(tape_id)

    def all(self) -> list[Tape]:
        """Every recording here, oldest first."""
        return sorted(self._tapes.values(), key=lambda tape: tape.started_ms)

    def started_by(self, command_id: str) -> Tape | None:
        """The recording that a command began."""
        return next((tape for tape in self._tapes.values() if tape.command_id == command_id), None)

    def stopped_by(self, command_id: str) -> Tape | None:
        """The recording that a command ended, or was about to."""
        return next((tape for tape in self._tapes.values() if tape.stop_id == command_id), None)

    def waiting(self) -> list[Tape]:
        """The finished recordings that the server doesn't have yet, due or held back."""
        return [tape for tape in self.all() if not tape.is_running and not tape.uploaded]

    def add(self, tape: Tape) -> None:
        """Note a recording that is about to begin."""
        self._keep(tape)

    def change(self, tape_id: str, **changes: Any) -> Tape:
        """Set fields, durably. KeyError when it isn't here."""
        tape = msgspec.structs.replace(self._tapes[tape_id], **changes)
        if tape != self._tapes[tape_id]:
            self._keep(tape)
        return tape

    def discard(self, tape_id: str) -> None:
        """Forget a recording: the sound first, so that no sound is ever left without its name."""
        self._tapes.pop(tape_id, None)
        remove(self.sound(tape_id))
        remove(self._folder / f"{tape_id}.json")

    async def hashed(self, tape_id: str) -> Tape:
        """A finished recording with its hash, taken once. OSError: the sound is gone. KeyError: it isn't here."""
        if self._tapes[tape_id].sha256 is not None:
            return self._tapes[tape_id]
        sha256 = await asyncio.to_thread(_sha256, self.sound(tape_id))
        return self.change(tape_id, sha256=sha256)

    def _keep(self, tape: Tape) -> None:
        write_whole(self._folder / f"{tape.id}.json", seal(tape))
        self._tapes[tape.id] = tape

    def _recover(self, path: Path) -> None:
        tape = _read(path)
        if tape is None:
            return
        self._tapes[tape.id] = tape
        if not tape.is_running:
            return
        duration = salvage(self.sound(tape.id))
        if duration == 0:
            self.discard(tape.id)
        else:
            self.change(tape.id, is_running=False, duration_ms=duration, ended_ms=tape.started_ms + duration)


def creation_of(tape: Tape) -> dict[str, Any]:
    """The body that makes a recording known to the server."""
    body: dict[str, Any] = {"id": tape.id, "started_at": iso(tape.started_ms), "source": "device"}
    if tape.command_id is not None:
        body["command_id"] = tape.command_id
    elif tape.generation is not None:
        body["binding_generation"] = tape.generation
    if tape.ended_ms is not None:
        body["ended_at"] = iso(tape.ended_ms)
    return body


def completion_of(tape: Tape, size: int) -> dict[str, Any]:
    """The body that says that all bytes of a finished recording are in."""
    return {
        "content_sha256": tape.sha256,
        "file_size_bytes": size,
        "duration_ms": tape.duration_ms,
        "ended_at": iso(tape.ended_ms or tape.started_ms + tape.duration_ms),
    }


def _read(path: Path) -> Tape | None:
    if not is_device_made_recording_id(path.stem):
        return None
    try:
        value = read_sealed(path)
        return None if value is None else msgspec.convert(value, Tape)
    except (ValueError, msgspec.ValidationError):
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
