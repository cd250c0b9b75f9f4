"""Ogg files from the outside (RFC 3533, RFC 7845): how long one is, and what can be saved of one that broke off.

A power cut leaves a file whose last page may be half there, or there in length but not in content. Whole pages before
it are good: the file is cut after the last whole page, and that page is marked as the last of its stream.
"""

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SAMPLES_PER_MS = 48
"""Opus in Ogg counts samples at 48 kHz, whatever went in."""
_CHECKED_PAGES = 64
"""Checksums are looked at in this many last pages: more than were written since the file was last flushed."""
_NO_GRANULE = 2**64 - 1


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x8000_0000 else 0)
        table.append(value & 0xFFFF_FFFF)
    return table


_CRC = _crc_table()


def page_crc(page: bytes) -> int:
    """The checksum of a page whose checksum field is zero (RFC 3533, section 6, field 7)."""
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFF_FFFF) ^ _CRC[crc >> 24 ^ byte]
    return crc


@dataclass(frozen=True, slots=True)
class _Page:
    offset: int
    size: int
    granule: int


def _next_page(file: BinaryIO, offset: int, end: int) -> _Page | None:
    file.seek(offset)
    head = file.read(27)
    if len(head) < 27 or head[:5] != b"OggS\0":
        return None
    lacing = file.read(head[26])
    size = 27 + head[26] + sum(lacing)
    if len(lacing) < head[26] or offset + size > end:
        return None
    return _Page(offset, size, int.from_bytes(head[6:14], "little"))


def _is_whole(file: BinaryIO, page: _Page) -> bool:
    file.seek(page.offset)
    data = bytearray(file.read(page.size))
    said = int.from_bytes(data[22:26], "little")
    data[22:26] = bytes(4)
    return page_crc(bytes(data)) == said


def _pre_skip(file: BinaryIO) -> int:
    file.seek(0)
    start = file.read(27 + 255 + 19)
    at = start.find(b"OpusHead")
    return int.from_bytes(start[at + 10 : at + 12], "little") if at >= 0 else 0


def _last_pages(file: BinaryIO, end: int) -> list[_Page]:
    pages: deque[_Page] = deque(maxlen=_CHECKED_PAGES)
    offset = 0
    while (page := _next_page(file, offset, end)) is not None:
        pages.append(page)
        offset = page.offset + page.size
    return list(pages)


def _whole_pages(file: BinaryIO, end: int) -> list[_Page]:
    pages = _last_pages(file, end)
    for i, page in enumerate(pages):
        if not _is_whole(file, page):
            return pages[:i]
    return pages


def _close_stream(file: BinaryIO, page: _Page) -> None:
    file.seek(page.offset)
    data = bytearray(file.read(page.size))
    data[5] |= 4  # the last page of its stream
    data[22:26] = bytes(4)
    data[22:26] = page_crc(bytes(data)).to_bytes(4, "little")
    file.seek(page.offset)
    file.write(data)


def salvage(path: Path) -> int:
    """Make a broken-off file good, durably; answers its length in milliseconds, 0 where there is no sound in it."""
    try:
        file = open(path, "r+b")  # noqa: SIM115 - closed by the with below
    except FileNotFoundError:
        return 0
    with file:
        end = os.fstat(file.fileno()).st_size
        pages = _whole_pages(file, end)
        sounding = [page for page in pages if 0 < page.granule < _NO_GRANULE]
        if not sounding:
            return 0
        last = sounding[-1]
        _close_stream(file, last)
        file.truncate(last.offset + last.size)
        file.flush()
        os.fsync(file.fileno())
        return max(0, last.granule - _pre_skip(file)) // SAMPLES_PER_MS
