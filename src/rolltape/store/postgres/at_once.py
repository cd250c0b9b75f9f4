"""Creation without taking hold: one look, and one statement that writes only if nobody came in between.

Whoever creates a command for a device moves on its `last_seq`. So what was read of it, and how many commands it had
open at most, are still true while `last_seq` and the binding are what they were. Where they aren't, or a key turns out
to be taken, nothing is written, and the round takes hold of its devices instead.
"""

from typing import Any

import asyncpg

from rolltape.domain.rows import CommandRow
from rolltape.store.operations import commands
from rolltape.store.postgres.creates import Before, decide, numbered
from rolltape.store.postgres.lane import Job
from rolltape.store.postgres.trouble import GONE, may_go_better, unavailable
from rolltape.store.postgres.unit import Held, Q, Unit, columns

_HELD = 11
_OVERTAKEN = (asyncpg.DivisionByZeroError, asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError)


def may_be_at_once(job: Job) -> bool:
    """Whether it creates a command, and closes none."""
    return job.kind == "create" and job.facts[0].type != "stop_recording"


async def create_at_once(unit: Unit, jobs: list[Job]) -> dict[int, Any] | None:
    """Each job's answer or refusal, by its place; None, and nothing is done, where somebody was faster.

    Raises Problem (`unavailable`) where the connection breaks while it writes: it may have been done.
    """
    before, counts = await _look(unit, jobs)
    if any(commands.is_forgotten(row, jobs[i].facts[1]) for i, (row, _) in before.items()):
        return None
    answers = await decide(unit, jobs, before, counts, {})
    if not unit.created:
        return answers
    try:
        numbers = dict(await unit.db.conn.fetch(Q["create_at_once"], *_written(unit)))
    except _OVERTAKEN:
        return None
    except GONE as error:
        if _did_nothing(error) or not may_go_better(error):
            raise
        raise unavailable(error, unknown=True) from None
    return {i: numbered(answer, numbers) for i, answer in answers.items()}


def _did_nothing(error: BaseException) -> bool:
    """Whether the database itself says so. A session that it ends may have committed before: that is no ERROR."""
    return isinstance(error, asyncpg.PostgresError) and getattr(error, "severity_en", None) == "ERROR"


async def _look(unit: Unit, jobs: list[Job]) -> tuple[Before, dict[str, int]]:
    """What each job's key has made before, and how many commands are open on each device."""
    asked = [(i, job.facts[0].device_id, job.facts[0].idempotency_key) for i, job in enumerate(jobs)]
    before: Before = {}
    counts: dict[str, int] = {}
    for i, *found in await unit.db.conn.fetch(Q["before_creation_at_once"], *columns(asked), commands.MAX_OPEN):
        device = Held(*found[:_HELD])
        unit.held.setdefault(device.device_id, device)
        counts[device.device_id] = found[_HELD]
        if found[-1] is not None:
            before[i] = CommandRow(*found[_HELD + 1 : -1]), found[-1]
    return before, counts


def _written(unit: Unit) -> list[Any]:
    minted = sorted(
        (device.device_id, device.last_seq, device.last_seq - device.minted, device.generation)
        for device in unit.held.values()
        if device.minted
    )
    return [*columns(minted), *columns(unit.created), *columns(unit.told)]
