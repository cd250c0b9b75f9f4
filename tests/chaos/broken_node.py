"""A node that breaks promises, for tests of what must see that: `python -m tests.chaos.broken_node serve …`."""

import asyncio
from itertools import count
from typing import Any

from rolltape.cli.main import main
from rolltape.domain import lifecycle
from rolltape.domain.rows import CommandRow
from rolltape.store.database import queries
from rolltape.store.operations import expiry, moves
from rolltape.store.postgres.store import PgStore

EACH = 5
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


async def _expire_without_a_guard(db: Any, now: int) -> list[str]:
    """It expires what it saw due a while ago, whatever has become of it since."""
    rows = [CommandRow(*row) for row in await db.all(queries("commands")["due"], (now, expiry.BATCH))]
    await asyncio.sleep(0.4)
    for row in rows:
        await db.run("UPDATE commands SET status = 'expired' WHERE id = ?", (row.id,))
        await moves.append_event(db, "expired", moves.changed(row, lifecycle.EXPIRE), now, row.status)
    return [row.id for row in rows]


PgStore.create_command = _lose_now_and_then  # type: ignore[method-assign]
expiry.expire_batch = _expire_without_a_guard

if __name__ == "__main__":
    main()
