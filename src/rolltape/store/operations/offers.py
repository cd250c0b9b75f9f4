"""Offers: what waits for a device, from an index, marked as offered before the device hears of it."""

import msgspec
from msgspec.structs import replace

from rolltape.domain.rows import ROUTE_BITS, CommandRow
from rolltape.store.database import Db, queries
from rolltape.store.operations import expiry
from rolltape.store.operations.moves import append_event
from rolltape.wire.command import Route, Status

_Q = queries("commands")


async def any_pending(db: Db, device_id: str) -> bool:
    """Whether something waits for the device. One look at an index."""
    return await db.one(_Q["any_pending"], (device_id,)) is not None


async def statuses(db: Db, device_id: str, generation: int, ids: tuple[str, ...]) -> dict[str, Status]:
    """How those of these commands stand that are the device's, under that binding. As many looks at an index."""
    asked = {"ids": _listed(ids), "device_id": device_id, "generation": generation}
    return dict(await db.all(_Q["statuses"], asked))


def _listed(ids: tuple[str, ...]) -> str:
    return msgspec.json.encode(ids).decode("utf-8")


async def offer(
    db: Db,
    device_id: str,
    generation: int,
    route: Route,
    quiet_since: int | None,
    limit: int,
    now: int,
    but: tuple[str, ...] = (),
    grants_until: int | None = None,
    only_urgent: bool = False,
) -> tuple[list[CommandRow], bool]:
    """The next commands for the device, resets and stops first, and whether more wait.

    With `quiet_since` (ms), only those that this route, poll or relay, has not offered after that, or, on a channel,
    that no route has; without those in `but`; with `only_urgent` only resets and stops. The first offer on each route
    is an event. `grants_until` (ms): when the grants that a relay gets end, where that is before `expires_at`. A relay
    also gets what one has acknowledged, once all grants of it have ended: a device that could not get its go in time is
    left with nothing.
    """
    await db.hold((device_id,))
    await expiry.settle(db, now)
    wanted = {
        "device_id": device_id,
        "generation": generation,
        "route": route,
        "quiet_since": now if quiet_since is None else quiet_since,
        "now": now,
        "limit": limit + 1,
        "but": _listed(but),
        "only_urgent": only_urgent,
    }
    rows = [CommandRow(*row) for row in await db.all(_Q["offerable"], wanted)]
    if route == "relay" and len(rows) <= limit:
        rows += [CommandRow(*row) for row in await db.all(_Q["taken_without_a_word"], wanted)]
    return [await _mark(db, row, route, grants_until, now) for row in rows[:limit]], len(rows) > limit


async def _mark(db: Db, row: CommandRow, route: Route, grants_until: int | None, now: int) -> CommandRow:
    bit = ROUTE_BITS[route]
    until = row.expires_at if grants_until is None else min(grants_until, row.expires_at)
    mark = {"bit": bit, "route": route, "now": now, "device_id": row.device_id, "id": row.id, "grants_until": until}
    await db.run(_Q["offer"], mark)
    offered = marked(row, route, until, now)
    if not row.offered_routes & bit:
        await append_event(db, "offered", offered, now)
    return offered


def marked(row: CommandRow, route: Route, until: int, now: int) -> CommandRow:
    """The command once it is offered on that route; a relay's grant lasts until `until` (ms)."""
    return replace(
        row,
        offers=row.offers + 1,
        offered_routes=row.offered_routes | ROUTE_BITS[route],
        route=route,
        last_offered_at=now,
        evidence=row.evidence or "offered",
        relay_grants_until=max(row.relay_grants_until or 0, until) if route == "relay" else row.relay_grants_until,
    )


async def raise_seq_floor(db: Db, device_id: str) -> int:
    """A sequence number above every one minted so far, which no grant will ever carry."""
    row = await db.one(_Q["raise_seq"], (device_id,))
    assert row is not None
    return int(row[0])
