"""Up to which event everything is there: events get their numbers before they are committed, and not in that order.

A number that was given out before some moment belongs to a transaction that was under way then, or had ended: each has
an id of its own before it asks for one. So once all that were under way at that moment have ended, no event at or below
the greatest number of that moment is still to come.
"""

import asyncio
from typing import Final

from rolltape.store.database import own_texts
from rolltape.store.postgres.connections import PgConnections
from rolltape.store.postgres.database import PACKAGE, PgDb
from rolltape.store.postgres.lane import Looks

PAUSE_SECONDS: Final = 0.002
PATIENCE: Final = 100
"""So many looks; then the position that is known already has to do. It only grows later."""

_GIVEN: Final = own_texts(PACKAGE, "relays")["last_event"]
_Q = own_texts(PACKAGE, "position")


class Position:
    """The greatest number below which nothing is missing. It never goes back."""

    def __init__(self, at: PgConnections) -> None:
        self._at = at
        self._known = 0
        self._looks: Looks[str, int] = Looks(self._find)

    async def now(self) -> int:
        """The position as of this moment."""
        found = await self._looks.get("position")
        assert found is not None
        return found

    async def _find(self, keys: list[str]) -> dict[str, int]:
        self._known = max(self._known, await self._at.read(_safe))
        return dict.fromkeys(keys, self._known)


async def _safe(db: PgDb) -> int:
    """The position; 0 where those that were under way take too long."""
    given: int = await db.conn.fetchval(_GIVEN)
    _, next_id = await db.conn.fetchrow(_Q["running"])
    for _ in range(PATIENCE):
        oldest, _ = await db.conn.fetchrow(_Q["running"])
        if oldest >= next_id:
            return given
        await asyncio.sleep(PAUSE_SECONDS)
    return 0
