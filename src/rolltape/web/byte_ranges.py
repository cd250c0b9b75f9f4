"""Range, If-Range and If-None-Match (RFC 9110, sections 13 and 14) for one body of known size and a strong ETag."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rolltape.codes import Code, Problem

_ONE_RANGE = re.compile(rb"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)


class Unsatisfiable(Problem):
    """A range that begins after the end. `size` goes into Content-Range."""

    def __init__(self, size: int) -> None:
        super().__init__(
            Code.RANGE_NOT_SATISFIABLE,
            f"The file has {size} bytes, and the range begins after them. You may have it all already.",
            details={"file_size_bytes": size},
        )
        self.size = size


@dataclass(frozen=True, slots=True)
class Selection:
    """The bytes from `start` up to, not including, `stop` of `size`; `partial` when that is an answer with 206."""

    start: int
    stop: int
    size: int
    partial: bool


def select(headers: Mapping[bytes, bytes], size: int, etag: bytes) -> Selection:
    """What a GET with these headers is to be given. Raises Unsatisfiable.

    Several ranges, other units and what can't be read are ignored, as the RFC allows: the answer is the whole. So is a
    range whose If-Range names other bytes.
    """
    whole = Selection(0, size, size, partial=False)
    match = _ONE_RANGE.fullmatch(headers.get(b"range", b""))
    if match is None or headers.get(b"if-range", etag) != etag:
        return whole
    first, last = match.groups()
    if not first and not last:
        return whole
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return whole
    if start >= size:
        raise Unsatisfiable(size)
    return Selection(start, stop, size, partial=True)


def is_known(headers: Mapping[bytes, bytes], etag: bytes) -> bool:
    """Whether If-None-Match says that the caller has these bytes."""
    known = [tag.strip().removeprefix(b"W/") for tag in headers.get(b"if-none-match", b"").split(b",")]
    return b"*" in known or etag in known
