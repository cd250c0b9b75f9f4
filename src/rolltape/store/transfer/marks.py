"""What a file and a PostgreSQL say of the copy of the one into the other, in their `meta`.

The file says from the beginning that it moves, so that no server begins on it meanwhile; the database says that what it
has is not all of it yet, until it is. Both name the attempt: what is there of another one is not gone on with.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from rolltape.store.database import Db
from rolltape.store.operations import accounts

MOVED_TO: Final = "moved_to"
COPYING: Final = "being_moved_here"
MOVED_HERE: Final = "moved_here"
COPIED: Final = "moved_here."
"""Before the name of a table: how far it is copied."""


class Moved(msgspec.Struct, frozen=True):
    """In the file: that it moves, or has moved. `to` says where to, without a password."""

    attempt: str
    to: str
    since: int
    done: bool


class Copying(msgspec.Struct, frozen=True):
    """In the database, until all of it is there: which attempt it is, of which deployment."""

    attempt: str
    iss: str


@dataclass(frozen=True, slots=True)
class Copied:
    """How far a table is copied: the key of the last row, None before the first, and how many there are."""

    after: tuple[object, ...] | None
    rows: int


async def moved(file: Db) -> Moved | None:
    """What the file says."""
    text = await accounts.meta(file, MOVED_TO)
    return None if text is None else msgspec.json.decode(text, type=Moved)


async def set_moved(file: Db, moved_to: Moved | None) -> None:
    """Says so in the file; None: it doesn't move any more."""
    if moved_to is None:
        await accounts.forget_meta(file, MOVED_TO)
    else:
        await accounts.set_meta(file, MOVED_TO, msgspec.json.encode(moved_to).decode())


async def copying(db: Db) -> Copying | None:
    """What the database says; None where nothing is being moved there."""
    text = await accounts.meta(db, COPYING)
    return None if text is None else msgspec.json.decode(text, type=Copying)


async def set_copying(db: Db, of: Copying) -> None:
    """Says so in the database."""
    await accounts.set_meta(db, COPYING, msgspec.json.encode(of).decode())


async def copied(db: Db, table: str) -> Copied:
    """How far that table is copied."""
    text = await accounts.meta(db, COPIED + table)
    return Copied(None, 0) if text is None else _copied(msgspec.msgpack.decode(bytes.fromhex(text)))


def _copied(told: tuple[list[object], int]) -> Copied:
    return Copied(tuple(told[0]), told[1])


async def set_copied(db: Db, table: str, now: Copied) -> None:
    """Says so, in the transaction of the rows themselves."""
    text = msgspec.msgpack.encode((now.after, now.rows)).hex()  # a key may have bytes, which JSON has not
    await accounts.set_meta(db, COPIED + table, text)
