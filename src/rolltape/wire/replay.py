"""A device's replay record: 32 bytes that say which grants it has used. Pure; the device keeps the bytes in flash.

| bytes | what | encoding |
| --- | --- | --- |
| 0-7 | `highest`: the highest `seq` used | unsigned, big-endian |
| 8-23 | `window`: bit i stands for `seq` = highest - i; bit 0 is `highest` itself | unsigned, big-endian |
| 24-31 | `highest_stop`: the highest `seq` of an authentic stop that was seen, obeyed or not | unsigned, big-endian |

The window follows the anti-replay window of IPsec (RFC 4303, section 3.4.3), 128 wide.
"""

import struct
from dataclasses import dataclass

WINDOW = 128
_FORMAT = struct.Struct(">Q16sQ")
_MASK = (1 << WINDOW) - 1


@dataclass(frozen=True, slots=True)
class ReplayRecord:
    """Which sequence numbers were used. Immutable: `mark` and `saw_stop` answer a new one."""

    highest: int = 0
    window: int = 0
    highest_stop: int = 0

    def used(self, seq: int) -> bool:
        """Whether `seq` was used, or has left the window and may have been."""
        if seq > self.highest:
            return False
        behind = self.highest - seq
        return behind >= WINDOW or bool(self.window >> behind & 1)

    def mark(self, seq: int) -> "ReplayRecord":
        """The record with `seq` used."""
        if seq > self.highest:
            window = (self.window << (seq - self.highest) | 1) & _MASK if seq - self.highest < WINDOW else 1
            return ReplayRecord(seq, window, self.highest_stop)
        behind = self.highest - seq
        if behind >= WINDOW:
            return self
        return ReplayRecord(self.highest, self.window | 1 << behind, self.highest_stop)

    def saw_stop(self, seq: int) -> "ReplayRecord":
        """The record after an authentic stop with `seq` was seen."""
        return ReplayRecord(self.highest, self.window, max(self.highest_stop, seq))

    def raised_to(self, seq_floor: int) -> "ReplayRecord":
        """A record that refuses every `seq` up to `seq_floor`: how a device starts again after it lost its own."""
        return ReplayRecord(max(self.highest, seq_floor), _MASK, max(self.highest_stop, seq_floor))

    def to_bytes(self) -> bytes:
        """The 32 bytes for flash."""
        return _FORMAT.pack(self.highest, self.window.to_bytes(16, "big"), self.highest_stop)

    @staticmethod
    def from_bytes(data: bytes) -> "ReplayRecord":
        """The record in those 32 bytes. ValueError when they are not 32."""
        if len(data) != _FORMAT.size:
            raise ValueError(f"a replay record has {_FORMAT.size} bytes, not {len(data)}")
        highest, window, highest_stop = _FORMAT.unpack(data)
        return ReplayRecord(highest, int.from_bytes(window, "big"), highest_stop)
