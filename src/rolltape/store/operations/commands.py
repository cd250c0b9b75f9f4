"""Commands: creation with idempotency, cancellation, and the lists."""

from rolltape.codes import Code, Failure, Problem
from rolltape.domain import lifecycle
from rolltape.domain.rows import CommandRow
from rolltape.store.database import Db, queries
from rolltape.store.inputs import IDEMPOTENCY_KEPT_MS, Created, DeviceFacts, NewCommand, Position
from rolltape.store.operations import expiry
from rolltape.store.operations.moves import get, insert, move, not_found, open_of_device

_Q = queries("commands")
MAX_OPEN = 100
SUPERSEDED = {
    "error_code": Failure.SUPERSEDED.value,
    "error_message": "A newer stop_recording was created before the device had this command.",
}


async def create(db: Db, new: NewCommand, now: int) -> Created:
    """Creates a command, or answers the one that the idempotency key made. A stop clears the way.

    Raises Problem: not_found, idempotency_key_reused, device_not_bound, command_queue_full.
    """
    await db.hold((new.device_id,))
    await expiry.settle(db, now)
    device = await device_facts(db, new.tenant_n, new.device_id)
    if new.idempotency_key is not None:
        before = await _replayed(db, new, device.generation, now)
        if before is not None:
            return Created(before, device, True)
    await _check_room(db, new, device.bound)
    closed = await _clear_the_way(db, new, now) if new.type == "stop_recording" else ()
    row = await insert(db, new, device.generation, now)
    return Created(row, device, False, closed)


async def device_facts(db: Db, tenant_n: int, device_id: str) -> DeviceFacts:
    """What a command needs to know of its device. Raises Problem: not_found."""
    found = await db.one(_Q["binding_for_create"], (device_id, tenant_n))
    if found is None:
        raise not_found("device")
    generation, bound, alg, kids, next_contact_at = found
    return DeviceFacts(generation, bool(bound), alg, kids, next_contact_at)


async def _replayed(db: Db, new: NewCommand, generation: int, now: int) -> CommandRow | None:
    found = await db.one(_Q["by_idempotency_key"], (new.device_id, generation, new.idempotency_key))
    if found is None:
        return None
    *facts, request_hash = found
    row = CommandRow(*facts)
    if is_forgotten(row, now):
        await db.run(_Q["forget_idempotency_key"], (row.device_id, row.id))
        return None
    refuse_another_request(row, request_hash, new)
    return row


def is_forgotten(row: CommandRow, now: int) -> bool:
    """Whether its idempotency key may be used anew."""
    return row.created_at < now - IDEMPOTENCY_KEPT_MS and not lifecycle.is_open(row.status)


def refuse_another_request(row: CommandRow, request_hash: bytes, new: NewCommand) -> None:
    """Raises Problem (`idempotency_key_reused`) where the key that made `row` comes with another request."""
    if request_hash != new.request_hash:
        raise Problem(
            Code.IDEMPOTENCY_KEY_REUSED,
            "This idempotency key came before with another request. Use a new key for a new request.",
            param="idempotency_key",
            details={"status": row.status, "command_id": row.id},
        )


async def _check_room(db: Db, new: NewCommand, bound: bool) -> None:
    refuse_unbound(bound)
    if not has_its_turn(new.type):
        return
    roughly = await _count(db, "count_open_at_most", new.device_id)
    if roughly >= MAX_OPEN <= await _count(db, "count_open", new.device_id):
        raise queue_full()


def refuse_unbound(bound: bool) -> None:
    """Raises Problem: device_not_bound."""
    if not bound:
        raise Problem(
            Code.DEVICE_NOT_BOUND,
            "The device is not bound to an end user, so it obeys nobody. Bind it first.",
            details={"status": "unbound"},
        )


def has_its_turn(type_: str) -> bool:
    """Whether it is refused where the queue is full: a stop and a reset never are."""
    return type_ not in ("stop_recording", "factory_reset")


def queue_full() -> Problem:
    """409: so many are open already."""
    return Problem(
        Code.COMMAND_QUEUE_FULL,
        f"{MAX_OPEN} commands are open on this device. Wait until some end, or cancel some.",
        details={"status": "bound", "open_commands": MAX_OPEN},
    )


async def _count(db: Db, query: str, device_id: str) -> int:
    row = await db.one(_Q[query], (device_id, MAX_OPEN))
    assert row is not None
    return int(row[0])


async def _clear_the_way(db: Db, new: NewCommand, now: int) -> tuple[str, ...]:
    cleared = []
    for row in await open_of_device(db, new.device_id):
        if lifecycle.is_superseded_by_stop(row.type, row.status):
            await move(db, row, lifecycle.SUPERSEDE, now, **SUPERSEDED)
            cleared.append(row.id)
    return tuple(cleared)


async def cancel(db: Db, tenant_n: int, device_id: str, command_id: str, now: int) -> CommandRow:
    """Cancels a pending command; one that is cancelled already is answered as it is.

    Raises Problem: not_found, command_not_cancellable.
    """
    await db.hold((device_id,))
    await expiry.settle(db, now)
    row = await get(db, tenant_n, device_id, command_id)
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
    return await move(db, row, lifecycle.CANCEL, now)


async def list_page(
    db: Db, device_id: str, statuses: tuple[str, ...], type_: str | None, position: Position
) -> list[CommandRow]:
    """A device's commands, newest first; several statuses are merged."""
    if not statuses:
        if type_ is None:
            rows = await db.all(_Q["list"], (device_id, position.below, position.limit))
        else:
            rows = await db.all(_Q["list_by_type"], (device_id, type_, position.below, position.limit))
        return [CommandRow(*row) for row in rows]
    merged = [row for status in statuses for row in await _by_status(db, device_id, status, type_, position)]
    merged.sort(key=lambda row: row.n, reverse=True)
    return merged[: position.limit]


async def _by_status(db: Db, device_id: str, status: str, type_: str | None, position: Position) -> list[CommandRow]:
    if type_ is None:
        rows = await db.all(_Q["list_by_status"], (device_id, status, position.below, position.limit))
    else:
        rows = await db.all(_Q["list_by_status_and_type"], (device_id, status, type_, position.below, position.limit))
    return [CommandRow(*row) for row in rows]
