"""How a bug is planted: one query, one function or one move of the real server, changed for the length of a test."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from msgspec import structs

from rolltape.domain import lifecycle
from rolltape.store.database import queries
from rolltape.store.inputs import Reported
from rolltape.store.operations import expiry, moves, reports
from rolltape.store.sqlite.connections import SqliteConnections
from tests.model.stories import Story

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Plant:
    """A broken rule. `rule` is its number among the seven."""

    rule: int
    name: str
    plant: Callable[[Patch], object]
    story: Story


def sql(name: str, old: str, new: str, aggregate: str = "commands") -> Callable[[Patch], None]:
    """One query, changed."""

    def plant(patch: Patch) -> None:
        text = queries(aggregate)[name]
        assert old in text, f"the query {name} no longer says {old!r}: plant the bug anew"
        patch.setitem(cast(dict[str, str], queries(aggregate)), name, text.replace(old, new))

    return plant


def due(old: str, new: str) -> Callable[[Patch], None]:
    """Both queries that ask what is due, changed alike."""

    def plant(patch: Patch) -> None:
        for name in ("any_due", "due"):
            sql(name, old, new)(patch)

    return plant


def function(module: Any, name: str, made: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """One function (or constant) of a module, made from the right one."""
    return lambda patch: patch.setattr(module, name, made(getattr(module, name)))


def lifecycle_move(name: str, **changes: Any) -> Callable[[Patch], None]:
    """One move of the lifecycle, changed."""
    return function(lifecycle, name, lambda move: replace(move, **changes))


def moved(**wrong: Any) -> Callable[[Any], Any]:
    """A `move` that puts something else on every command."""
    return lambda move: lambda db, row, how, now, **changes: move(db, row, how, now, **{**changes, **wrong})


async def nothing(*facts: Any, **named: Any) -> None:
    """An operation that does nothing, and finds nothing."""


async def nothing_closed(*facts: Any, **named: Any) -> tuple[str, ...]:
    """An operation that closes nothing."""
    return ()


def offer_delivers(offer: Any) -> Any:
    async def wrong(db: Any, row: Any, route: Any, now: int) -> Any:
        return await moves.move(db, await offer(db, row, route, now), lifecycle.ACKNOWLEDGE, now, delivered_at=now)

    return wrong


def dropped_when_closed(report: Any) -> Any:
    async def wrong(db: Any, tenant_n: Any, device_id: Any, command_id: Any, generation: Any, *rest: Any) -> Any:
        incoming, now = rest
        await expiry.settle(db, now)
        row = await reports.mine(db, tenant_n, device_id, command_id, generation)
        if row.status in ("expired", "cancelled"):
            return Reported(row, "accepted")
        return await report(db, tenant_n, device_id, command_id, generation, incoming, now)

    return wrong


def without_events(*lost: str) -> Callable[[Any], Any]:
    def made(append: Any) -> Any:
        return lambda db, type_, data, **facts: nothing() if type_ in lost else append(db, type_, data, **facts)

    return made


def without_previous(append: Any) -> Any:
    return lambda db, type_, data, **facts: append(db, type_, data, **{**facts, "previous_status": None})


def twice(append: Any) -> Any:
    async def wrong(db: Any, type_: str, data: Any, **facts: Any) -> None:
        await append(db, type_, data, **facts)
        if type_ == "command.executed":
            await append(db, type_, data, **facts)

    return wrong


def judge(**instead: str) -> Callable[[Any], Any]:
    return lambda right: lambda *facts: instead.get(right(*facts), right(*facts))


def nothing_is_due(patch: Patch) -> None:
    for look in ("any_due", "next_due"):
        patch.setattr(expiry, look, nothing)


def a_millisecond_early(patch: Patch) -> None:
    """Whoever looks what is due, or when the next thing will be, is a millisecond ahead."""
    right = expiry.next_due

    async def early(db: Any) -> int | None:
        at = await right(db)
        return None if at is None else at - 1

    due("<= ?", "<= ? + 1")(patch)
    patch.setattr(expiry, "next_due", early)


def unseen(module: Any) -> Callable[[Patch], None]:
    """The operations of one module don't look whether something is due, nor does anybody before them."""

    class Blind:
        settle = staticmethod(nothing)
        expire_batch = staticmethod(expiry.expire_batch)

    def plant(patch: Patch) -> None:
        patch.setattr(module, "expiry", Blind)
        patch.setattr(SqliteConnections, "settle", nothing)

    return plant


def earlier(right: Any) -> Any:
    """The lifecycle, as if the grants of relays ended a millisecond before they do."""

    class Hasty:
        def __getattr__(self, name: str) -> Any:
            return getattr(right, name)

        def may_still_run_until(self, *facts: Any) -> Any:
            *before, relayed, now = facts
            return right.may_still_run_until(*before, None if relayed is None else relayed - 1, now)

    return Hasty()


def whole_grants(right: Any) -> Any:
    """The grants, as if a relay got them as a device gets them."""

    class Generous:
        def __getattr__(self, name: str) -> Any:
            return getattr(right, name)

        def mint_for_relay(self, app: Any, row: Any, signer: Any, until: int) -> Any:
            return right.mint_for_relay(app, row, signer, row.expires_at)

    return Generous()


def whatever_was_asked(replayed: Any) -> Any:
    """A look for an idempotency key that takes every request for the one that came before."""

    async def wrong(db: Any, new: Any, generation: int, now: int) -> Any:
        query = "SELECT request_hash FROM commands WHERE idempotency_key = ?"
        before = await db.one(query, (new.idempotency_key,))
        return before and await replayed(db, structs.replace(new, request_hash=before[0]), generation, now)

    return wrong


def reset_ends_any_binding(end: Any) -> Any:
    async def wrong(db: Any, device_id: str, generation: int, now: int) -> Any:
        (present,) = await db.one("SELECT generation FROM device_bindings WHERE device_id = ?", (device_id,))
        return await end(db, device_id, present, now)

    return wrong
