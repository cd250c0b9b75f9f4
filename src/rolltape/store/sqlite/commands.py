"""Commands: creation with idempotency, cancellation, and the lists."""

from rolltape.codes import Code, Failure, Problem
from rolltape.domain import lifecycle
from rolltape.domain.rows import CommandRow
from rolltape.store.inputs import IDEMPOTENCY_KEPT_MS, Created, DeviceFacts, NewCommand, Position
from rolltape.store.sqlite import expiry
from rolltape.store.sqlite.database import Db, queries
from rolltape.store.sqlite.moves import get, insert, move, not_found, open_of_device

_Q = queries("commands")
MAX_OPEN = 100


def create(db: Db, new: NewCommand, now: int) -> Created:
    """Creates a command, or answers the one that the idempotency key made. A stop clears the way.

    Raises Problem: not_found, idempotency_key_reused, device_not_bound, command_queue_full.
    """
    expiry.settle(db, now)
    device = device_facts(db, new.tenant_n, new.device_id)
    if new.idempotency_key is not None:
        before = _replayed(db, new, device.generation, now)
        if before is not None:
            return Created(before, device, True)
    _check_room(db, new, device.bound)
    closed = _clear_the_way(db, new, now) if new.type == "stop_recording" else ()
    row = insert(db, new, device.generation, now)
    return Created(row, device, False, closed)


def device_facts(db: Db, tenant_n: int, device_id: str) -> DeviceFacts:
    """What a command needs to know of its device. Raises Problem: not_found."""
    found = db.one(_Q["binding_for_create"], (device_id, tenant_n))
    if found is None:
        raise not_found("device")
    generation, bound, alg, kids, next_contact_at = found
    return DeviceFacts(generation, bool(bound), alg, kids, next_contact_at)


def _replayed(db: Db, new: NewCommand, generation: int, now: int) -> CommandRow | None:
    found = db.one(_Q["by_idempotency_key"], (new.device_id, generation, new.idempotency_key))
    if found is None:
        return None
    *facts, request_hash = found
    row = CommandRow(*facts)
    if row.created_at < now - IDEMPOTENCY_KEPT_MS and not lifecycle.is_open(row.status):
        db.run(_Q["forget_idempotency_key"], (row.id,))
        return None
    if request_hash != new.request_hash:
        raise Problem(
            Code.IDEMPOTENCY_KEY_REUSED,
            "This idempotency key came before with another request. Use a new key for a new request.",
            param="idempotency_key",
            details={"status": row.status, "command_id": row.id},
        )
    return row


def _check_room(db: Db, new: NewCommand, bound: bool) -> None:
    if not bound:
        raise Problem(
            Code.DEVICE_NOT_BOUND,
            "The device is not bound to an end user, so it obeys nobody. Bind it first.",
            details={"status": "unbound"},
        )
    if new.type in ("stop_recording", "factory_reset"):
        return
    if _count(db, "count_open_at_most", new.device_id) >= MAX_OPEN <= _count(db, "count_open", new.device_id):
        raise Problem(
            Code.COMMAND_QUEUE_FULL,
            f"{MAX_OPEN} commands are open on this device. Wait until some end, or cancel some.",
            details={"status": "bound", "open_commands": MAX_OPEN},
        )


def _count(db: Db, query: str, device_id: str) -> int:
    row = db.one(_Q[query], (device_id, MAX_OPEN))
    assert row is not None
    return int(row[0])


def _clear_the_way(db: Db, new: NewCommand, now: int) -> tuple[str, ...]:
    cleared = []
    for row in open_of_device(db, new.device_id):
        if lifecycle.is_superseded_by_stop(row.type, row.status):
            move(
                db,
                row,
                lifecycle.SUPERSEDE,
                now,
                error_code=Failure.SUPERSEDED.value,
                error_message="A newer stop_recording was created before the device had this command.",
            )
            cleared.append(row.id)
    return tuple(cleared)


def cancel(db: Db, tenant_n: int, device_id: str, command_id: str, now: int) -> CommandRow:
    """Cancels a pending command; one that is cancelled already is answered as it is.

    Raises Problem: not_found, command_not_cancellable.
    """
    expiry.settle(db, now)
    row = get(db, tenant_n, device_id, command_id)
    if row is None:
        raise not_found("command on this device")
    if row.status == "cancelled":
        return row
    if not lifecycle.is_cancellable(row.status):
        raise Problem(
            Code.COMMAND_NOT_CANCELLABLE,
            f"The command is {row.status}; only a pending one can be cancelled. To end a recording, send a stop.",
            details={"status": row.status},
        )
    return move(db, row, lifecycle.CANCEL, now)


def list_page(
    db: Db, device_id: str, statuses: tuple[str, ...], type_: str | None, position: Position
) -> list[CommandRow]:
    """A device's commands, newest first; several statuses are merged."""
    if not statuses:
        if type_ is None:
            rows = db.all(_Q["list"], (device_id, position.below, position.limit))
        else:
            rows = db.all(_Q["list_by_type"], (device_id, type_, position.below, position.limit))
        return [CommandRow(*row) for row in rows]
    merged = [row for status in statuses for row in _by_status(db, device_id, status, type_, position)]
    merged.sort(key=lambda row: row.n, reverse=True)
    return merged[: position.limit]


def _by_status(db: Db, device_id: str, status: str, type_: str | None, position: Position) -> list[CommandRow]:
    if type_ is None:
        rows = db.all(_Q["list_by_status"], (device_id, status, position.below, position.limit))
    else:
        rows = db.all(_Q["list_by_status_and_type"], (device_id, status, type_, position.below, position.limit))
    return [CommandRow(*row) for row in rows]


def forget_idempotency_keys(db: Db, now: int, limit: int) -> int:
    """Lets go of keys that are over 30 days old and whose command is closed; how many."""
    db.run(_Q["forget_old_idempotency_keys"], (now - IDEMPOTENCY_KEPT_MS, limit))
    return int(db.conn.changes())
