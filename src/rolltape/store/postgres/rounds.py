"""Group commit: what waits goes into one transaction a round, and each caller hears of its own after the commit.

A round takes hold of all its devices at once, in one order; so what it reads stays true until it commits, on whichever
node others are. It has one kind of work for each device, and what is refused has written nothing. Should anything else
go wrong, the round is rolled back, and each of its jobs runs in a round of its own.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from rolltape.codes import Problem
from rolltape.store.postgres.at_once import create_at_once, may_be_at_once
from rolltape.store.postgres.connections import PgConnections
from rolltape.store.postgres.creates import create, numbered
from rolltape.store.postgres.landings import report
from rolltape.store.postgres.lane import MAX_BATCH, Job, Lane
from rolltape.store.postgres.offerings import Due, acknowledge, offer
from rolltape.store.postgres.trouble import AGAIN, GONE, log, may_go_better, unavailable
from rolltape.store.postgres.unit import Unit

TRIES = 5
PAUSE_SECONDS = 0.05
WORK: dict[str, Callable[[Unit, list[Job]], Awaitable[dict[int, Any]]]] = {
    "report": report,
    "acknowledge": acknowledge,
    "offer": offer,
    "create": create,
}
_DEVICE = {"report": 1, "acknowledge": 1, "offer": 0}


def device_of(job: Job) -> str:
    """The device that a job is about."""
    device_id: str = job.facts[0].device_id if job.kind == "create" else job.facts[_DEVICE[job.kind]]
    return device_id


def _company(job: Job) -> tuple[str, object] | None:
    """What tells it apart from others of one device that may share its round; None: it has the round to itself."""
    if job.kind == "create" and job.facts[0].type != "stop_recording":
        return "create", job.facts[0].idempotency_key or job
    if job.kind == "acknowledge":
        return "acknowledge", job.facts[2]
    return None


def choose(waiting: "deque[Job]") -> list[Job]:
    """Those that can be done together, each device's in their order; the others wait for the next round."""
    chosen: list[Job] = []
    kinds: dict[str, tuple[str, set[object]] | None] = {}
    left: deque[Job] = deque()
    while waiting and len(chosen) < MAX_BATCH:
        job = waiting.popleft()
        if _joins(job, kinds):
            chosen.append(job)
        else:
            left.append(job)
    waiting.extendleft(reversed(left))
    return chosen


def _joins(job: Job, kinds: dict[str, tuple[str, set[object]] | None]) -> bool:
    device_id, company = device_of(job), _company(job)
    if device_id not in kinds:
        kinds[device_id] = None if company is None else (company[0], {company[1]})
        return True
    present = kinds[device_id]
    if company is None or present is None or present[0] != company[0] or company[1] in present[1]:
        kinds[device_id] = None  # what comes after it waits too
        return False
    present[1].add(company[1])
    return True


class Rounds:
    """The lane of all hot writes of a node."""

    def __init__(self, at: PgConnections) -> None:
        self._at = at
        self._lane = Lane(self._work, choose)
        self.ask = self._lane.ask
        self.drain = self._lane.drain

    async def _work(self, jobs: list[Job]) -> None:
        try:
            answers = await self._answers(jobs)
        except Problem:
            raise
        except Exception as error:
            if len(jobs) == 1 and isinstance(error, asyncpg.PostgresError):
                raise unavailable(error) from error
            if len(jobs) == 1:
                raise
            log.warning("a round was rolled back, and each of its %d jobs runs alone: %s", len(jobs), error)
            for job in jobs:
                await self._alone(job)
        else:
            await self._deliver(jobs, answers)

    async def _alone(self, job: Job) -> None:
        try:
            await self._work([job])
        except Exception as error:
            job.fail(error)

    async def _answers(self, jobs: list[Job]) -> dict[int, Any]:
        for _ in range(TRIES - 1):
            try:
                return await self._round(jobs)
            except (*AGAIN, *GONE) as error:
                if not may_go_better(error):
                    raise
                log.warning("a round is tried again: %s: %s", type(error).__name__, error)
                await asyncio.sleep(PAUSE_SECONDS)
        try:
            return await self._round(jobs)
        except (*AGAIN, *GONE) as error:
            raise unavailable(error) from None

    async def _round(self, jobs: list[Job]) -> dict[int, Any]:
        async with self._at.connection() as db:
            if all(map(may_be_at_once, jobs)):
                made = await create_at_once(Unit(db), jobs)
                if made is not None:
                    return made
            unit = Unit(db)
            answers = await self._at.commit(db, lambda: _do(unit, jobs))
            self._at.tell(db)
        return answers

    async def _deliver(self, jobs: list[Job], answers: dict[int, Any]) -> None:
        due = []
        for i, job in enumerate(jobs):
            answer = answers[i]
            if isinstance(answer, Due):
                due.append(job)
            elif isinstance(answer, Exception):
                job.fail(answer)
            else:
                job.answer(answer)
        if due:
            await self._at.settle(max(job.facts[_NOW[job.kind]] for job in due), sure=True)
            await self._work(due)


_NOW = {"create": 1, "acknowledge": 6, "offer": 5, "report": 5}


async def _do(unit: Unit, jobs: list[Job]) -> dict[int, Any]:
    await unit.hold({device_of(job) for job in jobs})
    answers: dict[int, Any] = {}
    for kind, work in WORK.items():
        places = [i for i, job in enumerate(jobs) if job.kind == kind]
        if places:
            found = await work(unit, [jobs[i] for i in places])
            answers.update({places[i]: answer for i, answer in found.items()})
    numbers = await unit.write()
    return {i: numbered(answer, numbers) for i, answer in answers.items()}
