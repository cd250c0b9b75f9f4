"""Rule 4: time is exact. Whatever is due is expired before anything else is read or moved."""

from rolltape.codes import RESULT_NOT_REPORTED
from rolltape.domain import lifecycle
from rolltape.domain.rows import CommandRow
from rolltape.store.database import Db, queries
from rolltape.store.operations import bindings
from rolltape.store.operations.moves import move

_Q = queries("commands")
BATCH = 500
NEVER = 2**62
"""A time (ms) that doesn't come."""


async def any_due(db: Db, now: int) -> bool:
    """Whether some command is open at or past its time. One look at an index."""
    return await db.one(_Q["any_due"], (now,)) is not None


async def next_due(db: Db) -> int | None:
    """When the next open command expires (ms), None when none is open."""
    row = await db.one(_Q["next_due"])
    return None if row is None else row[0]


async def expire_batch(db: Db, now: int) -> list[str]:
    """Expires up to BATCH due commands, those longest due first; the ids of all that this closed."""
    rows = [CommandRow(*row) for row in await db.all(_Q["due"], (now, BATCH))]
    if not db.sole:
        held = {row.device_id for row in rows}
        await db.hold(held)
        rows = [CommandRow(*row) for row in await db.all(_Q["due"], (now, BATCH))]
        rows = [row for row in rows if row.device_id in held]
    for row in rows:
        await _expire(db, row, now)
    closed: list[str] = []
    for row in rows:  # only now: the end of a binding cancels what is open, and all of these had expired before
        if lifecycle.ends_binding_on_expiry(row.type, row.status):
            closed += await bindings.end_generation(db, row.device_id, row.generation, now) or ()
    return [row.id for row in rows] + closed


async def settle(db: Db, now: int) -> None:
    """Expires all that is due, inside the caller's transaction: it must not see an open command past its time.

    Only where nobody else writes meanwhile: elsewhere it would take hold of devices one after the other. There all that
    is due was expired before the transaction began.
    """
    if not db.sole or now < db.clear_until:
        return
    while await any_due(db, now) and await expire_batch(db, now):
        pass
    due = await next_due(db)
    db.clear_until = NEVER if due is None else due


async def _expire(db: Db, row: CommandRow, now: int) -> None:
    if row.status == "delivered":
        message = "The device acknowledged the command and did not say how it ended before it expired."
        await move(db, row, lifecycle.EXPIRE, now, error_code=RESULT_NOT_REPORTED, error_message=message)
    else:
        await move(db, row, lifecycle.EXPIRE, now)
