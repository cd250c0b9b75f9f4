"""What has aged goes, a batch at a time. See `store.retention`."""

import msgspec

from rolltape.store.database import Db, Row, queries

_Q = queries("retention")


async def age_out_commands(db: Db, until: int, limit: int) -> int:
    """Deletes closed commands that have aged, each with its history; how many."""
    rows = await _aged(db, until, limit)
    if not db.sole and rows:
        held = await db.hold_free({device_id for device_id, _, _ in rows})
        rows = [row for row in await _aged(db, until, limit) if row[0] in held]  # a report may have come meanwhile
    if rows:
        ids = {"ids": _json([id_ for _, _, id_ in rows])}
        await db.run(_Q["delete_claims"], ids)
        await db.run(_Q["delete_history"], ids)
        await db.run(_Q["delete_commands"], {"rows": _json([{"device_id": row[0], "n": row[1]} for row in rows])})
    return len(rows)


async def _aged(db: Db, until: int, limit: int) -> list[Row]:
    """(device_id, n, id) of each."""
    return await db.all(_Q["aged_commands"], (until, limit))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


async def age_out_events(db: Db, until: int, limit: int) -> int:
    """Deletes events of no command; how many."""
    return await db.count(_Q["delete_events"], (until, limit))


async def age_out_tokens(db: Db, until: int, limit: int) -> int:
    """Deletes device tokens whose binding ended long ago; how many."""
    return await db.count(_Q["delete_tokens"], (until, limit))
