"""Rule 4: time is exact. Whatever is due is expired before anything else is read or moved."""

from rolltape.codes import RESULT_NOT_REPORTED
from rolltape.domain import lifecycle
from rolltape.domain.rows import CommandRow
from rolltape.store.sqlite import bindings
from rolltape.store.sqlite.database import Db, queries
from rolltape.store.sqlite.moves import move

_Q = queries("commands")
BATCH = 500


def any_due(db: Db, now: int) -> bool:
    """Whether some command is open at or past its time. One look at an index."""
    return db.one(_Q["any_due"], (now,)) is not None


def next_due(db: Db) -> int | None:
    """When the next open command expires (ms), None when none is open."""
    row = db.one(_Q["next_due"])
    return None if row is None else row[0]


def expire_batch(db: Db, now: int) -> list[str]:
    """Expires up to BATCH due commands, those longest due first; the ids of all that this closed."""
    rows = [CommandRow(*row) for row in db.all(_Q["due"], (now, BATCH))]
    for row in rows:
        _expire(db, row, now)
    closed: list[str] = []
    for row in rows:  # only now: the end of a binding cancels what is open, and all of these had expired before
        if lifecycle.ends_binding_on_expiry(row.type, row.status):
            closed += bindings.end_generation(db, row.device_id, row.generation, now) or ()
    return [row.id for row in rows] + closed


def settle(db: Db, now: int) -> None:
    """Expires all that is due, inside the caller's transaction: it must not see an open command past its time."""
    while any_due(db, now) and expire_batch(db, now):
        pass


def _expire(db: Db, row: CommandRow, now: int) -> None:
    if row.status == "delivered":
        message = "The device acknowledged the command and did not say how it ended before it expired."
        move(db, row, lifecycle.EXPIRE, now, error_code=RESULT_NOT_REPORTED, error_message=message)
    else:
        move(db, row, lifecycle.EXPIRE, now)
