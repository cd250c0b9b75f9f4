"""What devices said and the server doesn't know yet: on disk before a device is told that it is held.

A folder of sealed files (rolltape/durable.py), one a word, named by the order in which they came. A damaged one is
passed over: its device repeats the word, until a signed answer tells it that the server has it.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from rolltape.durable import read_sealed, remove, seal, sync_folder, write_whole
from rolltape.relay.log import log

Kind = Literal["ack", "report", "state"]
MOST_WORDS = 10_000
"""How many words there may be."""
MOST_OF_ONE = 1_000
"""How many of one device, so that none can fill the spool."""


class SpoolFull(Exception):
    """No room: the device keeps the word, and says it again later."""


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What a device said. `body`: JSON, its receipt inside. `about`: the command; empty for a state."""

    kind: Kind
    device_id: str
    about: str = ""
    body: str


@dataclass(frozen=True, slots=True)
class Held:
    """A word on disk. `number` orders the words as they came."""

    number: int
    word: Word


class Spool:
    """The words in `folder`; made if it isn't there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._held: dict[int, Word] = {}
        self._numbers: dict[bytes, int] = {}
        self._of_device: dict[str, int] = {}
        for path in sorted(folder.iterdir()):
            self._open(path)
        self._next = max(self._held, default=0) + 1

    def __len__(self) -> int:
        return len(self._held)

    def put(self, word: Word) -> Held:
        """Hold it: on disk when this returns. The same word again is the one that is held. Raises SpoolFull.

        A newer state replaces the one before.
        """
        known = self._numbers.get(_key(word))
        if known is not None:
            return Held(known, self._held[known])
        former = [held for held in self.of(word.device_id) if held.word.kind == "state"] if word.kind == "state" else []
        if not former and (len(self) >= MOST_WORDS or self._of_device.get(word.device_id, 0) >= MOST_OF_ONE):
            raise SpoolFull
        held = Held(self._next, word)
        self._next += 1
        write_whole(self._path(held.number), seal(word))
        self._note(held)
        for old in former:
            self.done(old)
        return held

    def of(self, device_id: str) -> list[Held]:
        """What is held of a device, in the order in which it came."""
        if device_id not in self._of_device:
            return []
        return [Held(number, word) for number, word in sorted(self._held.items()) if word.device_id == device_id]

    def devices(self) -> list[str]:
        """The devices of which something is held, the longest held first."""
        return list(dict.fromkeys(word.device_id for _, word in sorted(self._held.items())))

    def done(self, held: Held) -> None:
        """The server has it, or will never take it."""
        word = self._held.pop(held.number, None)
        if word is None:
            return
        del self._numbers[_key(word)]
        self._count(word.device_id, -1)
        remove(self._path(held.number))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:016d}"

    def _note(self, held: Held) -> None:
        self._held[held.number] = held.word
        self._numbers[_key(held.word)] = held.number
        self._count(held.word.device_id, 1)

    def _count(self, device_id: str, change: int) -> None:
        left = self._of_device.get(device_id, 0) + change
        if left > 0:
            self._of_device[device_id] = left
        else:
            self._of_device.pop(device_id, None)

    def _open(self, path: Path) -> None:
        if not path.name.isdigit():  # a file that was being written when the power went
            path.unlink()
            return
        try:
            word = msgspec.convert(read_sealed(path), Word)
        except (ValueError, msgspec.ValidationError) as error:
            log(f"{path.name}: damaged, passed over ({error}); its device says it again")
            path.unlink()
            sync_folder(self._folder)
            return
        self._note(Held(int(path.name), word))


def _key(word: Word) -> bytes:
    facts: list[Any] = [word.kind, word.device_id, word.about, word.body]
    return hashlib.sha256(msgspec.json.encode(facts)).digest()
