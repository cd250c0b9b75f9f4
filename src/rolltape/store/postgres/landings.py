"""Reports of many callers at once; what is decided is that of `operations.reports`."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec.structs import replace

from rolltape.codes import Problem
from rolltape.domain import lifecycle
from rolltape.domain.rows import CommandRow
from rolltape.store.database import queries
from rolltape.store.inputs import IncomingReport, Reported
from rolltape.store.operations import reports
from rolltape.store.postgres.lane import Job
from rolltape.store.postgres.offerings import Due, is_due
from rolltape.store.postgres.unit import Held, Q, Unit, columns


class _After(NamedTuple):
    """What is so beside the command: whether a newer start ran, a recording runs, and the reported one has ended."""

    newer_start_ran: bool
    runs: bool
    has_ended: bool


@dataclass(slots=True)
class _Follow:
    """What the device's own state becomes."""

    began: list[Any] = field(default_factory=list)
    ended: list[Any] = field(default_factory=list)
    carried_out: list[Any] = field(default_factory=list)


async def report(unit: Unit, jobs: list[Job]) -> dict[int, Any]:
    """Each job's answer or refusal, by its place. No two are of one device."""
    rows = await unit.find("by_ids", {i: job.facts[1:3] for i, job in enumerate(jobs)})
    after = await _after(unit, jobs, rows)
    follow = _Follow()
    answers: dict[int, Any] = {}
    for i, job in enumerate(jobs):
        try:
            answers[i] = await _report(unit, follow, rows.get(i), after.get(i), *job.facts)
        except (Problem, Due) as refusal:
            answers[i] = refusal
    states = queries("states")
    await unit.db.many(queries("commands")["stop_was_carried_out"], follow.carried_out)
    await unit.db.many(states["recording_ended"], follow.ended)
    await unit.db.many(states["recording_began"], follow.began)
    return answers


async def _after(unit: Unit, jobs: list[Job], rows: dict[int, CommandRow]) -> dict[int, _After]:
    asked = [
        (i, jobs[i].facts[1], row.id, jobs[i].facts[4].recording_id, jobs[i].facts[5])
        for i, row in rows.items()
        if row.type in ("start_recording", "stop_recording")
    ]
    if not asked:
        return {}
    return {i: _After(*facts) for i, *facts in await unit.db.conn.fetch(Q["what_follows"], *columns(asked))}


async def _report(
    unit: Unit,
    follow: _Follow,
    row: CommandRow | None,
    after: _After | None,
    tenant_n: int,
    device_id: str,
    command_id: str,
    generation: int | None,
    incoming: IncomingReport,
    now: int,
) -> Reported:
    found = reports.spoken_of(row if row is not None and row.tenant_n == tenant_n else None, generation)
    if is_due(found, now):
        raise Due
    word = incoming.word
    verdict = lifecycle.judge_report(found.status, found.result, found.error_code, found.evidence, word)
    if verdict == "lands" and found.type != "factory_reset":
        landed = unit.move(found, lifecycle.report_move(word, verdict), now, **reports.landing(found, incoming, now))
        if after is not None:
            _follow(follow, unit.held[device_id], landed, incoming, after, now)
        return Reported(landed, "accepted")
    if verdict in ("lands", "replaces"):  # seldom, and more follows from it
        return await reports.report(unit.db, tenant_n, device_id, command_id, generation, incoming, now)
    if verdict == "equal_but_stronger":
        stronger = (word.evidence, found.device_id, found.id, found.evidence)
        await unit.db.run(queries("commands")["strengthen"], stronger)
        found = replace(found, evidence=word.evidence)
    return Reported(found, "conflict" if verdict == "conflicts" else "accepted")


def _follow(follow: _Follow, device: Held, row: CommandRow, incoming: IncomingReport, after: _After, now: int) -> None:
    present = device.generation == row.generation
    if reports.begins_recording(row):
        late = after.newer_start_ran and after.runs
        if present and row.seq >= device.last_ended_stop_seq and not late and not after.has_ended:
            began, until = reports.run_of(row, incoming, now)
            evidence = incoming.word.evidence
            follow.began.append((incoming.recording_id, began, until, now, evidence, row.device_id))
    elif reports.ends_recording(row):
        follow.carried_out.append((row.seq, row.device_id))
        if present and not after.newer_start_ran:
            follow.ended.append((now, incoming.word.evidence, row.device_id))
