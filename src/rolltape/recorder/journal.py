"""What the recorder knows of each command, on disk: taken, dropped, ended with a report, told to the server.

An append-only file of sealed lines, each flushed to the disk before the call returns. A torn or damaged line is passed
over: what it said is then not known, which is safe, because the replay record alone decides what may still be obeyed.
Opening writes the file afresh, without what nobody needs any more.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from rolltape.durable import seal, sync_folder, unseal, write_whole
from rolltape.wire.command import Report
from rolltape.wire.keys import b64url, un_b64url

KEEP_TOLD = 256
"""How many finished commands are remembered, so that one offered again gets the same report again."""
MOST_OPEN = 1000
"""How many unfinished commands and untold reports there may be; more offers are left with the server."""
_REWRITE_AFTER = 4096
_CWT = "cwt:"


def text_of(grant: str | bytes) -> str:
    """A grant as an entry keeps it."""
    return grant if isinstance(grant, str) else _CWT + b64url(grant)


@dataclass(slots=True)
class Entry:
    """One command. `token` is its grant as text, empty for one that was refused unread: a JWT, or `cwt:` and base64url.

    `report` is set once it has ended. `gen`: the binding that the grant is of, 0 where it isn't known.
    """

    id: str
    token: str = field(default="", repr=False)
    seq: int = 0
    type: str = ""
    exp: int = 0
    report: Report | None = None
    told: bool = False
    dropped: bool = False
    gen: int = 0

    @property
    def came_by_air(self) -> bool:
        """Whether a relay brought it: its grant is a CWT, and lives shorter than the command."""
        return self.token.startswith(_CWT)

    @property
    def grant(self) -> str | bytes:
        """The grant, as the check takes it."""
        return un_b64url(self.token.removeprefix(_CWT)) if self.came_by_air else self.token

    @property
    def is_open(self) -> bool:
        """Taken, and neither ended nor dropped."""
        return self.report is None and not self.dropped


class Journal:
    """The journal in `path`; made if it isn't there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}
        self._lines = 0
        self.damaged = 0
        self._file: BinaryIO | None = None
        for line in _lines_of(path):
            self._replay_line(line)
        self._rewrite()

    def get(self, command_id: str) -> Entry | None:
        """What is known of a command."""
        return self._entries.get(command_id)

    def all(self) -> list[Entry]:
        """Every command that is remembered, oldest first."""
        return list(self._entries.values())

    def open_entries(self) -> list[Entry]:
        """The commands taken and not yet ended, by `seq`."""
        return sorted((e for e in self._entries.values() if e.is_open), key=lambda e: e.seq)

    def untold(self) -> list[Entry]:
        """The commands whose report the server hasn't answered yet, oldest first."""
        return [e for e in self._entries.values() if e.report is not None and not e.told]

    @property
    def is_full(self) -> bool:
        """Whether no more offers can be taken until the server has heard some reports."""
        return sum(1 for e in self._entries.values() if e.is_open or (e.report and not e.told)) >= MOST_OPEN

    def take(self, entry: Entry) -> None:
        """Remember a command before anything is done about it; one in hand gets the other grant."""
        self._append(_taking(entry))

    def drop(self, command_id: str) -> None:
        """No go: the command is not obeyed and not reported."""
        self._append({"drop": command_id})

    def end(self, command_id: str, report: Report) -> None:
        """The command has ended, so: this is reported until the server answers."""
        self._append({"end": command_id, "report": msgspec.to_builtins(report)})

    def told(self, command_id: str) -> None:
        """The server has the report (or will never take it)."""
        self._append({"told": command_id})

    def tell_again(self, command_id: str) -> None:
        """The command was offered once more: its report is sent once more."""
        self._append({"again": command_id})

    def close(self) -> None:
        """Close the file; what was written is durable already."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, line: dict[str, Any]) -> None:
        assert self._file is not None, "the journal is closed"
        self._file.write(seal(line))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._apply(line)
        self._lines += 1
        if self._lines > _REWRITE_AFTER:
            self._rewrite()

    def _replay_line(self, line: bytes) -> None:
        try:
            self._apply(unseal(line))
        except (ValueError, KeyError, TypeError, msgspec.ValidationError):
            self.damaged += 1

    def _apply(self, line: dict[str, Any]) -> None:
        verb, command_id = next(iter(line.items()))
        if verb == "take":
            self._take(command_id, {k: line[k] for k in ("token", "seq", "type", "exp", "gen") if k in line})
            return
        entry = self._entries.setdefault(command_id, Entry(id=command_id))
        if verb == "end":
            entry.report = msgspec.convert(line["report"], Report)
            entry.told = False
        elif verb == "drop":
            entry.dropped = True
        else:
            entry.told = verb == "told"

    def _take(self, command_id: str, facts: dict[str, Any]) -> None:
        known = self._entries.get(command_id)
        if known is not None and known.is_open:
            known.token, known.exp = facts["token"], facts["exp"]
        else:
            self._entries[command_id] = Entry(id=command_id, **facts)

    def _rewrite(self) -> None:
        done = [e.id for e in self._entries.values() if e.told or e.dropped]
        for command_id in done[: -KEEP_TOLD or None]:
            del self._entries[command_id]
        lines = [seal(line) for entry in self._entries.values() for line in _lines_for(entry)]
        self.close()
        write_whole(self._path, b"".join(lines))
        self._file = open(self._path, "ab")  # noqa: SIM115 - kept open for as long as the recorder runs
        sync_folder(self._path.parent)
        self._lines = 0


def _lines_of(path: Path) -> Iterable[bytes]:
    try:
        return path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return ()


def _lines_for(entry: Entry) -> Iterable[dict[str, Any]]:
    if entry.token:
        yield _taking(entry)
    if entry.dropped:
        yield {"drop": entry.id}
    if entry.report is not None:
        yield {"end": entry.id, "report": msgspec.to_builtins(entry.report)}
        if entry.told:
            yield {"told": entry.id}


def _taking(entry: Entry) -> dict[str, Any]:
    facts = {"token": entry.token, "seq": entry.seq, "type": entry.type, "exp": entry.exp, "gen": entry.gen}
    return {"take": entry.id, **facts}
