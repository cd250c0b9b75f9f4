"""The local side of a transfer: reading a file in pieces, writing one as it comes, and what a file is."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rolltape.sdk.errors import SettingsError
from rolltape.sdk.steps import Answer, Progress
from rolltape.wire.recording import ContentType

CHUNK = 64 * 1024
SUFFIXES: dict[ContentType, str] = {
    "audio/ogg": ".ogg",
    "audio/opus": ".opus",
    "audio/flac": ".flac",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "audio/webm": ".webm",
    "audio/aac": ".aac",
}
"""The file name's ending that goes with each content type."""


def content_type_of(file: Path) -> ContentType:
    """What a file holds, by its name. SettingsError for an ending that isn't known."""
    ending = ".ogg" if file.suffix.lower() == ".oga" else file.suffix.lower()
    for kind, suffix in SUFFIXES.items():
        if suffix == ending:
            return kind
    raise SettingsError(f"{file.name}: can't tell its content type by its name; say it (content_type, --content-type)")


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, 64 hex digits. OSError where it can't be read."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def pieces(file: Path, offset: int, size: int, progress: Progress | None) -> Iterator[bytes]:
    """The bytes of `file` from `offset` up to `size`, in pieces; `progress` hears of each before it is sent."""
    done = offset
    with file.open("rb") as stream:
        stream.seek(offset)
        while piece := stream.read(min(CHUNK, size - done)):
            done += len(piece)
            if progress is not None:
                progress(done, size)
            yield piece


class PartFile:
    """A file on its way in. What is there from an earlier try is kept where the server goes on from it."""

    def __init__(self, path: Path, size: int, progress: Progress | None) -> None:
        self.path, self._size, self._progress = path, size, progress
        self._stream: BinaryIO | None = None
        self.offset = path.stat().st_size if path.exists() else 0

    def begin(self, answer: Answer) -> bool:
        """Open for an answer: 206 that goes on where we are, or 200 that starts afresh. Others aren't wanted."""
        goes_on = answer.headers.get("content-range", "").startswith(f"bytes {self.offset}-")
        if answer.status == 206 and goes_on:
            self._stream = self.path.open("ab")
        elif answer.status == 200:
            self._stream = self.path.open("wb")
            self.offset = 0
        return self._stream is not None

    def write(self, chunk: bytes) -> None:
        """The next bytes. OSError where the disk is full."""
        assert self._stream is not None, "begin came first"
        self._stream.write(chunk)
        self.offset += len(chunk)
        if self._progress is not None:
            self._progress(self.offset, self._size)

    def close(self) -> None:
        """Nothing more comes."""
        if self._stream is not None:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._stream = None
