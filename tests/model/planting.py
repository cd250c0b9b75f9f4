"""How a bug is planted: one query, one function or one move of the real server, changed for the length of a test."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from rolltape.domain import lifecycle
from rolltape.store.inputs import Reported
from rolltape.store.sqlite import expiry, moves, reports
from rolltape.store.sqlite.connections import Connections
from rolltape.store.sqlite.database import queries
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


def offer_delivers(offer: Any) -> Any:
    def wrong(db: Any, row: Any, route: Any, now: int) -> Any:
        return moves.move(db, offer(db, row, route, now), lifecycle.ACKNOWLEDGE, now, delivered_at=now)

    return wrong


def dropped_when_closed(report: Any) -> Any:
    def wrong(db: Any, tenant_n: Any, device_id: Any, command_id: Any, generation: Any, incoming: Any, now: int) -> Any:
        expiry.settle(db, now)
        row = reports.mine(db, tenant_n, device_id, command_id, generation)
        if row.status in ("expired", "cancelled"):
            return Reported(row, "accepted")
        return report(db, tenant_n, device_id, command_id, generation, incoming, now)

    return wrong


def without_events(*lost: str) -> Callable[[Any], Any]:
    def made(append: Any) -> Any:
        return lambda db, type_, data, **facts: None if type_ in lost else append(db, type_, data, **facts)

    return made


def without_previous(append: Any) -> Any:
    return lambda db, type_, data, **facts: append(db, type_, data, **{**facts, "previous_status": None})


def twice(append: Any) -> Any:
    def wrong(db: Any, type_: str, data: Any, **facts: Any) -> None:
        append(db, type_, data, **facts)
        if type_ == "command.executed":
            append(db, type_, data, **facts)

    return wrong


def judge(**instead: str) -> Callable[[Any], Any]:
    return lambda right: lambda *facts: instead.get(right(*facts), right(*facts))


def nothing_is_due(patch: Patch) -> None:
    patch.setattr(expiry, "any_due", lambda db, now: False)


def unseen(module: Any) -> Callable[[Patch], None]:
    """The operations of one module don't look whether something is due, nor does anybody before them."""

    class Blind:
        settle = staticmethod(lambda db, now: None)
        expire_batch = staticmethod(expiry.expire_batch)

    async def look_away(self: Connections, now: int) -> None:
        return None

    def plant(patch: Patch) -> None:
        patch.setattr(module, "expiry", Blind)
        patch.setattr(Connections, "settle", look_away)

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


def reset_ends_any_binding(end: Any) -> Any:
    def wrong(db: Any, device_id: str, generation: int, now: int) -> Any:
        present = db.one("SELECT generation FROM device_bindings WHERE device_id = ?", (device_id,))[0]
        return end(db, device_id, present, now)

    return wrong
