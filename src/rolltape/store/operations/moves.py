"""The guarded write of every move, with its event; what all operations on commands are made of."""

from typing import Any

from msgspec.structs import replace

from rolltape.codes import Code, Problem
from rolltape.domain import lifecycle, views
from rolltape.domain.lifecycle import Move
from rolltape.domain.rows import CommandRow
from rolltape.store.database import Db, Row, queries
from rolltape.store.inputs import NewCommand
from rolltape.store.operations import events

_Q = queries("commands")


def not_found(what: str) -> Problem:
    """404 for an object that isn't there, or not this caller's."""
    return Problem(
        Code.NOT_FOUND, f"There is no such {what}. Check the id, and that it belongs to this project and mode."
    )


async def append_event(db: Db, name: str, row: CommandRow, now: int, previous_status: str | None = None) -> None:
    """An event with the command as it is now, without its grant."""
    await events.append(db, f"command.{name}", views.command(row, now), **about(row, now, previous_status))


def event_of(name: str, row: CommandRow, now: int, previous_status: str | None = None) -> events.Told:
    """The same, to be written with others."""
    return events.made(f"command.{name}", views.command(row, now), **about(row, now, previous_status))


def about(row: CommandRow, now: int, previous_status: str | None) -> dict[str, Any]:
    """What an event says beside its data."""
    return {
        "now": now,
        "tenant_n": row.tenant_n,
        "device_id": row.device_id,
        "command_id": row.id,
        "previous_status": previous_status,
    }


def changed(row: CommandRow, how: Move, **changes: Any) -> CommandRow:
    """The command after that move, which the lifecycle was asked for."""
    assert row.status in how.sources, f"{how.name} can't start from {row.status}"
    return replace(row, status=how.target, **changes)


def written(row: CommandRow, moved: CommandRow) -> Row:
    """A move as it is written: the columns of `move`, in their order."""
    return (
        moved.status,
        moved.result,
        moved.error_code,
        moved.error_message,
        moved.delivered_at,
        moved.executed_at,
        moved.reported_at,
        moved.evidence,
        moved.route,
        row.device_id,
        row.id,
        row.status,
    )


async def move(db: Db, row: CommandRow, how: Move, now: int, **changes: Any) -> CommandRow:
    """Makes one move as a guarded write with its event. The caller has asked the lifecycle; the guard asks again."""
    moved = changed(row, how, **changes)
    done = await db.changed(_Q["move"], written(row, moved))
    assert done, "the row was read in this very transaction"
    db.moved.append(moved.device_id)
    await append_event(db, how.target, moved, now, previous_status=row.status)
    return moved


async def insert(db: Db, new: NewCommand, generation: int, now: int) -> CommandRow:
    """Mints the next `seq` and writes the command with its event. The device must be bound."""
    minted = await db.one(_Q["mint_stop_seq" if new.type == "stop_recording" else "mint_seq"], (new.device_id,))
    assert minted is not None, "the binding was read in this very transaction"
    made = await db.one(
        _Q["insert"],
        (
            new.id,
            new.tenant_n,
            new.device_id,
            generation,
            minted[0],
            new.type,
            new.params,
            now,
            new.expires_at,
            new.idempotency_key,
            new.request_hash,
        ),
    )
    assert made is not None
    db.clear_until = min(db.clear_until, new.expires_at)
    db.created.append(new.device_id)
    row = new_row(new, made[0], generation, minted[0], now)
    await append_event(db, "created", row, now)
    return row


def new_row(new: NewCommand, n: int, generation: int, seq: int, now: int) -> CommandRow:
    """A command as it begins."""
    return CommandRow(
        n=n,
        id=new.id,
        tenant_n=new.tenant_n,
        device_id=new.device_id,
        generation=generation,
        seq=seq,
        type=new.type,
        status="pending",
        params=new.params,
        result=None,
        error_code=None,
        error_message=None,
        created_at=now,
        expires_at=new.expires_at,
        delivered_at=None,
        executed_at=None,
        reported_at=None,
        route=None,
        offers=0,
        offered_routes=0,
        last_offered_at=None,
        evidence=None,
        relay_grants_until=None,
    )


async def get(db: Db, tenant_n: int, device_id: str, command_id: str) -> CommandRow | None:
    """The command, if it is that tenant's and that device's."""
    row = await db.one(_Q["by_id"], (command_id, tenant_n, device_id))
    return None if row is None else CommandRow(*row)


async def open_of_device(db: Db, device_id: str) -> list[CommandRow]:
    """The device's open commands, oldest first."""
    return [CommandRow(*row) for row in await db.all(_Q["open_of_device"], (device_id,))]


async def close_open(db: Db, device_id: str, reason: str, message: str, now: int, *, but: str = "") -> tuple[str, ...]:
    """Cancels a device's open commands, all but the one with the id `but`; their ids."""
    closed = []
    for row in await open_of_device(db, device_id):
        if row.id != but:
            await move(db, row, lifecycle.CLOSE, now, error_code=reason, error_message=message)
            closed.append(row.id)
    return tuple(closed)
