"""Acknowledgements and offers for many callers at once; what is decided is that of `operations`."""

from typing import Any, NamedTuple

import msgspec

from rolltape.codes import Problem
from rolltape.domain import lifecycle
from rolltape.domain.rows import ROUTE_BITS, CommandRow
from rolltape.store.operations import moves, offers, reports
from rolltape.store.postgres.lane import Job
from rolltape.store.postgres.unit import Mark, Q, Unit, columns
from rolltape.wire.command import Route


def is_due(row: CommandRow, now: int) -> bool:
    """Whether it should have expired: then somebody else created it since what is due was last looked at."""
    return lifecycle.is_open(row.status) and row.expires_at <= now


class Due(Exception):
    """Something has to expire first."""


async def acknowledge(unit: Unit, jobs: list[Job]) -> dict[int, Any]:
    """Each job's answer or refusal, by its place. No two are of one command."""
    rows = await unit.find("by_ids", {i: job.facts[1:3] for i, job in enumerate(jobs)})
    answers: dict[int, Any] = {}
    for i, job in enumerate(jobs):
        try:
            answers[i] = _take(unit, rows.get(i), job.facts)
        except (Problem, Due) as refusal:
            answers[i] = refusal
    return answers


def _take(unit: Unit, row: CommandRow | None, facts: tuple[Any, ...]) -> CommandRow:
    tenant_n, device_id, _, generation, evidence, route, now = facts
    found = reports.spoken_of(row if row is not None and row.tenant_n == tenant_n else None, generation)
    if is_due(found, now):
        raise Due
    if not lifecycle.may_go(found.type, found.status, found.seq, last_stop_seq=unit.held[device_id].last_stop_seq):
        raise reports.no_go(found)
    if found.status == "delivered":
        return found
    return unit.move(found, lifecycle.ACKNOWLEDGE, now, **reports.taking(found, evidence, route, now))


async def offer(unit: Unit, jobs: list[Job]) -> dict[int, Any]:
    """Each job's answer, by its place. No two are of one device."""
    asked = [_Wanted(*job.facts) for job in jobs]
    found = await _rows(unit, "offerable", [(i, *wanted.by_place()) for i, wanted in enumerate(asked)])
    relays = [
        (i, wanted.device_id, wanted.generation, wanted.now)
        for i, wanted in enumerate(asked)
        if wanted.route == "relay" and len(found.get(i, ())) <= wanted.limit
    ]
    for i, rows in (await _rows(unit, "taken_without_a_word", relays)).items():
        found.setdefault(i, []).extend(rows)
    return {i: _offered(unit, found.get(i, []), wanted) for i, wanted in enumerate(asked)}


class _Wanted(NamedTuple):
    """What one caller wants to be offered: see CommandStore.offer."""

    device_id: str
    generation: int
    route: Route
    quiet_since: int | None
    limit: int
    now: int
    but: tuple[str, ...]
    grants_until: int | None
    only_urgent: bool

    def by_place(self) -> tuple[Any, ...]:
        """As the query takes it."""
        quiet = self.now if self.quiet_since is None else self.quiet_since
        but = msgspec.json.encode(self.but).decode() if self.but else None
        return (self.device_id, self.generation, self.route, quiet, self.now, self.limit + 1, but, self.only_urgent)


async def _rows(unit: Unit, query: str, asked: list[Any]) -> dict[int, list[CommandRow]]:
    found: dict[int, list[CommandRow]] = {}
    for row in await unit.db.conn.fetch(Q[query], *columns(asked)) if asked else ():
        found.setdefault(row[0], []).append(CommandRow(*row[1:]))
    return found


def _offered(unit: Unit, rows: list[CommandRow], wanted: _Wanted) -> tuple[list[CommandRow], bool] | Due:
    if any(is_due(row, wanted.now) for row in rows):
        return Due()
    offered = [_mark(unit, row, wanted.route, wanted.grants_until, wanted.now) for row in rows[: wanted.limit]]
    return offered, len(rows) > wanted.limit


def _mark(unit: Unit, row: CommandRow, route: Route, grants_until: int | None, now: int) -> CommandRow:
    until = row.expires_at if grants_until is None else min(grants_until, row.expires_at)
    unit.marks.append(Mark(row.device_id, row.id, ROUTE_BITS[route], route, now, until))
    offered = offers.marked(row, route, until, now)
    if not row.offered_routes & ROUTE_BITS[route]:
        unit.told.append(moves.event_of("offered", offered, now))
    return offered
