"""One round's transaction: the devices that it holds, and what it is going to write, each table in one statement."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rolltape.domain.lifecycle import Move
from rolltape.domain.rows import CommandRow
from rolltape.store.database import own_texts
from rolltape.store.inputs import DeviceFacts
from rolltape.store.operations import events, moves
from rolltape.store.postgres.database import PACKAGE, PgDb
from rolltape.wire.keys import Alg

Q = own_texts(PACKAGE, "rounds")


class Spoilt(Exception):
    """Something is not as it must be while the device is held: the round is rolled back, and each job runs alone."""


@dataclass(slots=True)
class Held:
    """A device that the round holds. The numbers grow as commands are minted."""

    device_id: str
    tenant_n: int
    generation: int
    bound: bool
    deleted: bool
    grant_alg: Alg
    held_kids: str
    next_contact_at: int | None
    last_seq: int
    last_stop_seq: int
    last_ended_stop_seq: int
    minted: int = 0

    def facts(self) -> DeviceFacts:
        """What a caller is told of it."""
        return DeviceFacts(self.generation, self.bound, self.grant_alg, self.held_kids, self.next_contact_at)

    def mint(self, *, stop: bool) -> int:
        """The next `seq`."""
        self.last_seq += 1
        self.minted += 1
        if stop:
            self.last_stop_seq = self.last_seq
        return self.last_seq


class Mark(NamedTuple):
    """That a command is offered."""

    device_id: str
    id: str
    bit: int
    route: str
    now: int
    grants_until: int


def columns(rows: list[Any], width: int | None = None) -> list[list[Any]]:
    """Rows as columns, for a statement that takes arrays; so many empty ones where there may be no rows."""
    if not rows and width is not None:
        return [[] for _ in range(width)]
    return [list(column) for column in zip(*rows, strict=True)]


@dataclass(slots=True)
class Unit:
    """What has been decided and is still to be written."""

    db: PgDb
    held: dict[str, Held] = field(default_factory=dict)
    moves: list[Any] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    created: list[Any] = field(default_factory=list)
    told: list[events.Told] = field(default_factory=list)

    async def hold(self, device_ids: set[str]) -> None:
        """Takes hold of the devices: see Db.hold."""
        self.held = {row[0]: Held(*row) for row in await self.db.conn.fetch(Q["hold"], list(device_ids))}

    def move(self, row: CommandRow, how: Move, now: int, **changes: Any) -> CommandRow:
        """One move, with its event."""
        moved = moves.changed(row, how, **changes)
        self.moves.append(moves.written(row, moved))
        self.told.append(moves.event_of(how.target, moved, now, row.status))
        self.db.moved.append(row.device_id)
        return moved

    async def find(self, query: str, wanted: dict[int, tuple[Any, ...]]) -> dict[int, CommandRow]:
        """Commands by the numbers of those who asked for them."""
        if not wanted:
            return {}
        asked = columns([(i, *facts) for i, facts in wanted.items()])
        return {row[0]: CommandRow(*row[1:]) for row in await self.db.conn.fetch(Q[query], *asked)}

    async def write(self) -> dict[str, int]:
        """Writes all of it; the numbers of the commands that were created. Raises Spoilt where a guard didn't hold."""
        minted = [(h.device_id, h.last_seq, h.last_stop_seq) for h in self.held.values() if h.minted]
        parts = {"moved": (self.moves, 12), "offered": (self.marks, 6), "minted": (minted, 3)}
        if not (self.moves or self.marks or minted or self.told):
            return {}
        arrays = [column for rows, width in parts.values() for column in columns(rows, width)]
        arrays += columns(self.created, 11) + columns(self.told, 8)
        numbers: dict[str, int] = {}
        for what, n, id_ in await self.db.conn.fetch(Q["write"], *arrays):
            if what == "created":
                numbers[id_] = n
            elif n != len(parts[what][0]):
                raise Spoilt(what)
        return numbers
