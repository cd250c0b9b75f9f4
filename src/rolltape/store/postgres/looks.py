"""Quick looks: as many as wait at the same time are one query."""

from rolltape.domain.rows import BoundRow, TokenRow
from rolltape.store.database import own_texts
from rolltape.store.inputs import DeviceFacts
from rolltape.store.postgres.connections import PgConnections
from rolltape.store.postgres.database import PACKAGE, PgDb
from rolltape.store.postgres.lane import Looks

_Q = own_texts(PACKAGE, "looks")


PACE_SECONDS = 0.002
"""How far apart the rounds begin that each heartbeat needs, while there are many: a round trip costs both sides more
than all that is looked up in it."""


class QuickLooks:
    """What each request of a device asks, and each wait."""

    def __init__(self, at: PgConnections) -> None:
        self.tokens: Looks[bytes, TokenRow] = Looks(lambda keys: at.read(_tokens, keys), PACE_SECONDS)
        self.pending: Looks[str, bool] = Looks(lambda keys: at.read(_pending, keys), PACE_SECONDS)
        self.facts: Looks[str, tuple[int, DeviceFacts]] = Looks(lambda keys: at.read(_facts, keys))
        self.bindings: Looks[str, BoundRow] = Looks(lambda keys: at.read(_bindings, keys))
        self.bound: Looks[str, int] = Looks(lambda keys: at.read(_bound, keys))


async def _tokens(db: PgDb, hashes: list[bytes]) -> dict[bytes, TokenRow]:
    return {hash_: TokenRow(*facts) for hash_, *facts in await db.conn.fetch(_Q["tokens"], hashes)}


async def _pending(db: PgDb, device_ids: list[str]) -> dict[str, bool]:
    return {row[0]: True for row in await db.conn.fetch(_Q["pending"], device_ids)}


async def _facts(db: PgDb, device_ids: list[str]) -> dict[str, tuple[int, DeviceFacts]]:
    """Each device's tenant with its facts."""
    found = await db.conn.fetch(_Q["facts"], device_ids)
    return {device_id: (tenant_n, DeviceFacts(*facts)) for device_id, tenant_n, *facts in found}


async def _bound(db: PgDb, device_ids: list[str]) -> dict[str, int]:
    """The generation of each that is bound."""
    return {row[0]: row[1] for row in await db.conn.fetch(_Q["bound"], device_ids)}


async def _bindings(db: PgDb, device_ids: list[str]) -> dict[str, BoundRow]:
    """Each that is bound, under its binding."""
    rows = (BoundRow(*facts) for facts in await db.conn.fetch(_Q["bindings"], device_ids))
    return {row.device_id: row for row in rows}
