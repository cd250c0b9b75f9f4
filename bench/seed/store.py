"""A store with so many devices, closed commands and waiting ones, ready to be served."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from bench.seed.copiers import copier
from bench.seed.copies import Copier, copy_closed, copy_devices, copy_waiting, population
from bench.seed.sample import Sample, make_sample
from bench.servers.target import Population


@dataclass(frozen=True, slots=True)
class Size:
    """What is in a store: devices, closed commands over the first `over` of them (0: over all), and as many commands
    that wait for each of the first `queued`."""

    devices: int
    closed: int = 0
    over: int = 0
    waiting: int = 0
    queued: int = 0


@dataclass(frozen=True, slots=True)
class Seeded:
    """A store that can be served: its key and its devices, and how it was made."""

    folder: Path
    database: str | None
    sample: Sample
    size: Size

    @property
    def devices(self) -> Population:
        return population(self.size.devices)


def seed(folder: Path, size: Size, database: str | None = None) -> Seeded:
    """On a fresh data folder; `database`: the URL of an empty PostgreSQL, None for SQLite."""
    sample = make_sample(folder, database)
    return grow(Seeded(folder, database, sample, Size(0)), size)


def grow(seeded: Seeded, to: Size) -> Seeded:
    """The same store with more in it; nobody serves from it meanwhile.

    What is open there and wasn't seeded goes: else devices would be offered it in what is measured next.
    """
    asyncio.run(_grow(seeded, to))
    return Seeded(seeded.folder, seeded.database, seeded.sample, to)


async def _grow(seeded: Seeded, to: Size) -> None:
    async with copier(seeded.folder, seeded.database) as db:
        if not seeded.size.waiting:
            mine = seeded.sample.waiting_id  # which is copied
            await db.run(f"DELETE FROM commands WHERE status IN ('pending', 'delivered') AND id <> '{mine}'")
        await _copy(db, seeded.sample, seeded.size, to)


async def _copy(db: Copier, sample: Sample, now: Size, to: Size) -> None:
    if to.devices > now.devices:
        await copy_devices(db, sample, now.devices, to.devices - 1)
    if to.closed > now.closed:
        await copy_closed(db, sample, now.closed, to.closed - 1, to.over or to.devices)
    if to.waiting > now.waiting:
        await copy_waiting(db, sample, to.waiting, to.queued)
