"""Events: written in the transaction of the change that they tell, and never changed."""

from typing import Any

import msgspec

from rolltape.domain.rows import EventRow
from rolltape.store.database import Db, queries
from rolltape.wire.ids import new_id

_Q = queries("events")
Told = tuple[str, int, str | None, str | None, str, str | None, int, str]
_encode = msgspec.json.Encoder().encode


async def append(
    db: Db,
    type_: str,
    data: Any,
    *,
    now: int,
    tenant_n: int,
    device_id: str | None = None,
    command_id: str | None = None,
    previous_status: str | None = None,
) -> None:
    """Adds one event. `data` is the object as it is now, without secrets."""
    await db.run(
        _Q["append"],
        made(
            type_,
            data,
            now=now,
            tenant_n=tenant_n,
            device_id=device_id,
            command_id=command_id,
            previous_status=previous_status,
        ),
    )


def made(
    type_: str,
    data: Any,
    *,
    now: int,
    tenant_n: int,
    device_id: str | None = None,
    command_id: str | None = None,
    previous_status: str | None = None,
) -> Told:
    """An event as it is written: the columns of `append`, in their order."""
    text = _encode(data).decode()
    return new_id("evt", now), tenant_n, device_id, command_id, type_, previous_status, now, text


async def of_command(db: Db, tenant_n: int, command_id: str, after: int, limit: int) -> list[EventRow]:
    """A command's history after position `after`, oldest first."""
    return [EventRow(*row) for row in await db.all(_Q["of_command"], (command_id, tenant_n, after, limit))]
