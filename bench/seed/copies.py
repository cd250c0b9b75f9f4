"""Copies of the sample, by the database itself: a million devices in a minute.

Each table's columns are asked of the database and all but a few are copied as they are, so a column that a migration
adds is copied too. Numbers, ids and times are told apart where an index tells them apart.
"""

from collections.abc import Mapping
from typing import Protocol

from bench.load.plan import STRIDE
from bench.seed.sample import Sample
from bench.servers.target import Population

DIGITS = 22
TOKEN_DIGITS = 43
LAST_SEQ = 1_000_000
"""Of every copy: above each `seq` that its commands are given."""


class Copier(Protocol):
    """One connection to a database that nobody serves from yet, and its words for what is asked of it."""

    def numbers(self, first: int, last: int) -> str:
        """A source `g` of numbers `g.i`, both ends included."""
        ...

    def padded(self, prefix: str, number: str, digits: int) -> str:
        """An expression: the prefix and the number with leading zeros."""
        ...

    def sha256(self, text: str) -> str:
        """An expression: the hash of a text."""
        ...

    async def columns(self, table: str) -> list[str]: ...
    async def run(self, sql: str) -> None: ...
    async def finish(self) -> None:
        """Makes it as it is after a long life: on the disk, and with the statistics that the database keeps."""
        ...


def population(count: int) -> Population:
    """The devices that `copy_devices` makes."""
    return Population(count, f"dev_%(device)0{DIGITS}d", f"dtok_%(device)0{TOKEN_DIGITS}d")


async def copy_devices(db: Copier, sample: Sample, first: int, last: int) -> None:
    """Bound devices with numbers `first` to `last`, each with a token of its own and its last known state."""
    device = db.padded("dev_", "g.i", DIGITS)
    token = db.sha256(db.padded("dtok_", "g.i", TOKEN_DIGITS))
    serial = db.padded("RT-", "g.i", 9)
    of_device = f"device_id = '{sample.device_id}'"
    tables: list[tuple[str, str, dict[str, str]]] = [
        ("devices", f"id = '{sample.device_id}'", {"id": device, "serial_number": serial}),
        ("device_bindings", of_device, {"device_id": device, "last_seq": str(LAST_SEQ)}),
        ("binding_history", of_device, {"device_id": device}),
        ("device_states", of_device, {"device_id": device}),
        ("device_tokens", of_device, {"device_id": device, "hash": token}),
    ]
    for table, which, own in tables:
        await _copy(db, table, which, own, first, last)


async def copy_closed(db: Copier, sample: Sample, first: int, last: int, devices: int) -> None:
    """Executed commands, spread over the first `devices` devices, each with the event of its creation."""
    device = db.padded("dev_", f"g.i * {STRIDE} % {devices}", DIGITS)
    await _copy_commands(db, sample, sample.executed_id, "0", device, f"g.i / {devices} + 10", first, last)


async def copy_waiting(db: Copier, sample: Sample, each: int, devices: int) -> None:
    """So many commands that wait for each of the first `devices` devices, with their events."""
    device = db.padded("dev_", f"g.i % {devices}", DIGITS)
    await _copy_commands(db, sample, sample.waiting_id, "9", device, f"g.i / {devices} + 10", 0, each * devices - 1)


async def _copy_commands(
    db: Copier, sample: Sample, of: str, mark: str, device: str, seq: str, first: int, last: int
) -> None:
    command = db.padded(f"cmd_{mark}", "g.i", DIGITS - 1)
    key = db.padded(f"copy-{mark}-", "g.i", 9)
    own = {"id": command, "device_id": device, "seq": seq, "idempotency_key": key}
    await _copy(db, "commands", f"id = '{of}'", own, first, last)
    told = f"replace(replace(s.data, '{of}', {command}), '{sample.device_id}', {device})"
    event = {
        "id": db.padded(f"evt_{mark}", "g.i", DIGITS - 1),
        "device_id": device,
        "command_id": command,
        "data": told,
    }
    await _copy(db, "events", f"command_id = '{of}' AND type = 'command.created'", event, first, last)


async def _copy(db: Copier, table: str, which: str, own: Mapping[str, str], first: int, last: int) -> None:
    columns = [name for name in await db.columns(table) if name != "n"]
    if missing := set(own) - set(columns):
        raise RuntimeError(f"{table} has no column {', '.join(sorted(missing))} any more: mend bench/seed")
    await db.run("DROP TABLE IF EXISTS bench_sample")
    await db.run(f"CREATE TEMP TABLE bench_sample AS SELECT * FROM {table} WHERE {which}")
    values = ", ".join(own.get(name, f"s.{name}") for name in columns)
    source = f"{db.numbers(first, last)} CROSS JOIN bench_sample AS s"
    await db.run(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {source}")
