"""Files that survive a power cut at any byte: written whole beside the old one and renamed, each with its checksum.

A sealed line is the CRC-32 of what follows as 8 hex digits, a blank, JSON, and a line feed.
"""

import contextlib
import os
import zlib
from pathlib import Path
from typing import Any

import msgspec


def sync_folder(folder: Path) -> None:
    """Make names in `folder` durable: a rename is only safe after this."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` in place of `path`, mode 0600: afterwards, whatever happens, the old or the new content is there."""
    beside = path.with_name(path.name + ".new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Delete `path`, durably; no error when it isn't there."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def seal(value: Any) -> bytes:
    """`value` as one sealed line."""
    text = msgspec.json.encode(value)
    return b"%08x %s\n" % (zlib.crc32(text), text)


def unseal(line: bytes) -> Any:
    """The value of a sealed line. ValueError when it is torn or changed."""
    mark, blank, text = line[:8], line[8:9], line[9:].removesuffix(b"\n")
    if blank != b" " or not line.endswith(b"\n") or b"%08x" % zlib.crc32(text) != mark:
        raise ValueError("torn or changed")
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError("not JSON") from error


def read_sealed(path: Path) -> Any:
    """The value of a file of one sealed line; None when there is no such file. ValueError when it is damaged."""
    try:
        return unseal(path.read_bytes())
    except FileNotFoundError:
        return None
