"""A node that breaks promises, for tests of what must see that: `python -m tests.chaos.broken_node serve …`."""

import asyncio
from itertools import count
from typing import Any

from rolltape.cli.main import main
from rolltape.domain import lifecycle
from rolltape.domain.rows import CommandRow
from rolltape.service.context import Services
from rolltape.store.database import queries
from rolltape.store.operations import moves
from rolltape.store.operations.expiry import BATCH
from rolltape.store.postgres.store import PgStore
from rolltape.workers.expiry import Expiry

EACH = 5
AHEAD_MS = 1000
_numbers = count(1)
_create_command = PgStore.create_command


async def _lose_now_and_then(self: PgStore, new: Any, now: int) -> Any:
    """It says that a command is there, and it is gone again."""
    created = await _create_command(self, new, now)
    if not created.replayed and next(_numbers) % EACH == 0:
        await self._pg.write(_forget, created.command.id)
    return created


async def _forget(db: Any, command_id: str) -> None:
    await db.run("DELETE FROM commands WHERE id = ?", (command_id,))


async def _expire_soon(self: Expiry, app: Services, now: int) -> int:
    """It expires what will be due soon, and does so later, whatever has become of it since."""
    assert isinstance(app.store, PgStore)
    return await app.store._pg.write(_expire_without_a_guard, now + AHEAD_MS)


async def _expire_without_a_guard(db: Any, now: int) -> int:
    rows = [CommandRow(*row) for row in await db.all(queries("commands")["due"], (now, BATCH))]
    await asyncio.sleep(AHEAD_MS / 1000 + 0.5)
    for row in rows:
        await db.run("UPDATE commands SET status = 'expired' WHERE id = ?", (row.id,))
        await moves.append_event(db, "expired", moves.changed(row, lifecycle.EXPIRE), now, row.status)
    return len(rows)


PgStore.create_command = _lose_now_and_then  # type: ignore[method-assign]
Expiry.run_once = _expire_soon  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
