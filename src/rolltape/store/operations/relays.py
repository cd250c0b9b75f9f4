"""Relays: their tokens, what they reach, what is new for them, what they claim. See `store.relays`."""

import msgspec

from rolltape.codes import Problem
from rolltape.domain import views
from rolltape.domain.rows import ROUTE_BITS, CommandRow, ReachedDevice, RelayDeviceRow, RelayTokenRow
from rolltape.store.database import Db, queries
from rolltape.store.operations import events, expiry
from rolltape.store.operations.moves import not_found
from rolltape.store.operations.reports import mine
from rolltape.store.relays import Audience, NewClaim, NewRelayToken

_Q = queries("relays")
MAX_CLAIMS = 16
"""Claims kept of one command: a relay that makes things up must not fill the disk."""
PRUNED_AT_ONCE = 100


async def insert_token(db: Db, new: NewRelayToken, now: int) -> None:
    """Writes a token, and lets go of some whose time is over. Raises Problem: not_found."""
    if await db.one(_Q["end_user_exists"], (new.end_user_id, new.tenant_n)) is None:
        raise _missing("end user", "end_user_id")
    if new.device_ids is not None:
        stranger = await db.one(_Q["device_that_is_not_there"], (new.device_ids, new.tenant_n))
        if stranger is not None:
            raise _missing("device", "device_ids")
    await prune_tokens(db, now, PRUNED_AT_ONCE)
    await db.run(_Q["insert_token"], (new.tenant_n, new.end_user_id, new.device_ids, new.hash, now, new.expires_at))


async def prune_tokens(db: Db, now: int, limit: int) -> int:
    """Lets go of tokens whose time is over; how many."""
    return await db.count(_Q["prune_tokens"], (now, limit))


def _missing(what: str, param: str) -> Problem:
    problem = not_found(what)
    problem.param = param
    return problem


async def token_by_hash(db: Db, token_hash: bytes) -> RelayTokenRow | None:
    """The token with that hash, whose end user is still there."""
    row = await db.one(_Q["token_by_hash"], (token_hash,))
    return None if row is None else RelayTokenRow(*row)


async def token_lasts(db: Db, n: int, now: int) -> bool:
    """Whether it is there and its time isn't over."""
    return await db.one(_Q["token_lasts"], (n, now)) is not None


async def revoke_all(db: Db, tenant_n: int, end_user_id: str) -> None:
    """Ends all tokens of an end user. Raises Problem: not_found."""
    if await db.one(_Q["end_user_exists"], (end_user_id, tenant_n)) is None:
        raise _missing("end user", "end_user_id")
    await revoke(db, tenant_n, end_user_id)


async def revoke(db: Db, tenant_n: int, end_user_id: str) -> None:
    """The same without a look whether the end user is there."""
    await db.run(_Q["revoke_tokens"], (tenant_n, end_user_id))


async def touch_tokens(db: Db, used: dict[int, int]) -> None:
    """Notes when tokens were last used."""
    await db.many(_Q["touch_token"], [(at, n) for n, at in sorted(used.items())])


async def devices(db: Db, tenant_n: int, end_user_id: str) -> list[RelayDeviceRow]:
    """The devices that are bound to that end user, oldest first."""
    found = await db.all(_Q["devices"], (tenant_n, end_user_id))
    return [
        RelayDeviceRow(id_, serial, generation, alg, bool(has_key), kids, bool(waits))
        for id_, serial, generation, alg, has_key, kids, waits in found
    ]


async def reached(db: Db, tenant_n: int, end_user_id: str, device_id: str, since: int) -> ReachedDevice | None:
    """The device, if a binding to that user lasts or ended after `since`."""
    row = await db.one(_Q["device"], {"end_user_id": end_user_id, "device_id": device_id, "tenant_n": tenant_n})
    generations = tuple(n for (n,) in await db.all(_Q["generations"], (device_id, end_user_id, since)))
    if row is None or not generations:
        return None
    alg, public_key, heartbeat_sec, generation, theirs, kids, last_stop_seq = row
    bound = bool(theirs) and generation == generations[0]
    return ReachedDevice(device_id, alg, public_key, heartbeat_sec, bound, kids, last_stop_seq, generations)


async def last_event(db: Db) -> int:
    """The number of the last event."""
    row = await db.one(_Q["last_event"])
    assert row is not None
    return int(row[0])


async def news(db: Db, device_ids: list[str], after: int, upto: int) -> set[str]:
    """The devices among these for which something else may wait, by the events after `after`, up to `upto`."""
    named = {"device_ids": msgspec.json.encode(device_ids).decode(), "after": after, "upto": upto}
    return {device_id for (device_id,) in await db.all(_Q["news"], named)}


async def closed(db: Db, audience: Audience, after: int, upto: int, since: int, limit: int) -> list[tuple[int, str]]:
    """Commands that a relay was offered and that were closed, each with its event's number, in that order."""
    named = {
        "end_user_id": audience.end_user_id,
        "device_ids": audience.device_ids,
        "after": after,
        "upto": upto,
        "since": since,
        "relay_bit": ROUTE_BITS["relay"],
        "limit": limit,
    }
    return [(n, command_id) for n, command_id in await db.all(_Q["closed"], named)]


async def claim(
    db: Db, tenant_n: int, device_id: str, command_id: str, generation: int, new: NewClaim, now: int
) -> CommandRow:
    """Keeps a claim as an event; the command, which stays as it is. Raises Problem: not_found."""
    await db.hold((device_id,))
    await expiry.settle(db, now)
    row = await mine(db, tenant_n, device_id, command_id, generation)
    kept = await db.one(_Q["claims_of"], (command_id,))
    assert kept is not None
    if kept[0] < MAX_CLAIMS and await db.changed(_Q["claim"], (command_id, new.digest)):
        told = {**msgspec.to_builtins(views.command(row, now)), "claim": new.told}
        await events.append(
            db,
            "command.claimed",
            told,
            now=now,
            tenant_n=row.tenant_n,
            device_id=row.device_id,
            command_id=row.id,
        )
    return row


async def count_receipt(db: Db, device_id: str, generation: int, counter: int) -> bool:
    """Notes a counter; whether it is the greatest of that binding so far."""
    return await db.changed(_Q["count_receipt"], (device_id, generation, counter))
