"""Events: written in the transaction of the change that they tell, and never changed."""

from typing import Any

import msgspec

from rolltape.domain.rows import EventRow
from rolltape.store.sqlite.database import Db, queries
from rolltape.wire.ids import new_id

_Q = queries("events")
_encode = msgspec.json.Encoder().encode


def append(
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
    text = _encode(data).decode()
    db.run(_Q["append"], (new_id("evt", now), tenant_n, device_id, command_id, type_, previous_status, now, text))


def of_command(db: Db, tenant_n: int, command_id: str, after: int, limit: int) -> list[EventRow]:
    """A command's history after position `after`, oldest first."""
    return [EventRow(*row) for row in db.all(_Q["of_command"], (command_id, tenant_n, after, limit))]
