"""The replay record on disk: the 32 bytes of docs/grants.md and their CRC-32 (big-endian), in a file written whole.

A recorder that has a past but can't read this file has lost its replay record: it then refuses every grant until the
server has given it a floor above every `seq` minted so far.
"""

import zlib
from pathlib import Path

from rolltape.durable import write_whole
from rolltape.wire.replay import ReplayRecord


class ReplayFile:
    """The record in `path`. `has_past` says whether this recorder has run before."""

    def __init__(self, path: Path, *, has_past: bool) -> None:
        self._path = path
        self.record = ReplayRecord()
        self.lost = False
        try:
            self.record = _read(path)
        except FileNotFoundError:
            self.lost = has_past
            if not has_past:
                self._keep(self.record)
        except ValueError:
            self.lost = True

    def mark(self, seq: int) -> None:
        """Note, durably, that the grant with `seq` is used. Called before it is obeyed."""
        self._keep(self.record.mark(seq))

    def saw_stop(self, seq: int) -> None:
        """Note, durably, an authentic stop, obeyed or not."""
        seen = self.record.saw_stop(seq)
        if seen != self.record:
            self._keep(seen)

    def lose(self) -> None:
        """Forget the record: it belonged to another device."""
        self.lost = True
        self.record = ReplayRecord()
        self._path.unlink(missing_ok=True)

    def restore(self, seq_floor: int) -> None:
        """Begin again above every grant that the server has minted so far."""
        self._keep(ReplayRecord().raised_to(seq_floor))
        self.lost = False

    @property
    def highest_known(self) -> int:
        """The highest `seq` that this device knows of, used or seen in a stop."""
        return max(self.record.highest, self.record.highest_stop)

    def _keep(self, record: ReplayRecord) -> None:
        data = record.to_bytes()
        write_whole(self._path, data + zlib.crc32(data).to_bytes(4, "big"))
        self.record = record


def _read(path: Path) -> ReplayRecord:
    data = path.read_bytes()
    if len(data) != 36 or zlib.crc32(data[:32]).to_bytes(4, "big") != data[32:]:
        raise ValueError("the replay record is damaged")
    return ReplayRecord.from_bytes(data[:32])
