"""Creation for many callers at once; what is decided is that of `operations.commands`."""

from typing import Any

from msgspec.structs import replace

from rolltape.codes import Problem
from rolltape.domain import lifecycle
from rolltape.domain.rows import CommandRow
from rolltape.store.database import queries
from rolltape.store.inputs import Created, NewCommand
from rolltape.store.operations import commands, moves
from rolltape.store.postgres.lane import Job
from rolltape.store.postgres.unit import Held, Q, Unit, columns

Before = dict[int, tuple[CommandRow, bytes]]


async def create(unit: Unit, jobs: list[Job]) -> dict[int, Any]:
    """Each job's answer or refusal, by its place. No two jobs of a round have one key on one device.

    The commands get their numbers when they are written: see `numbered`.
    """
    before, counts = await _before(unit, jobs)
    return await decide(unit, jobs, before, counts, await _open_of_stops(unit, jobs))


async def decide(
    unit: Unit, jobs: list[Job], before: Before, counts: dict[str, int], open_: dict[str, list[CommandRow]]
) -> dict[int, Any]:
    """The same, from what was found: what a job's key had made by its place, how many commands are open on each device,
    and which on those that are told to stop."""
    answers: dict[int, Any] = {}
    for i, job in enumerate(jobs):
        new, now = job.facts
        try:
            device = _device(unit, new)
            old = before.get(i)
            if old is not None and not await _forgotten(unit, *old, new, now):
                answers[i] = Created(old[0], device.facts(), True)
                continue
            _check_room(device, new, counts)
        except Problem as problem:
            answers[i] = problem
            continue
        stop = new.type == "stop_recording"
        closed = _clear_the_way(unit, open_.get(new.device_id, []), now) if stop else ()
        counts[new.device_id] = counts.get(new.device_id, 0) + 1
        row = moves.new_row(new, 0, device.generation, device.mint(stop=stop), now)
        unit.told.append(moves.event_of("created", row, now))
        unit.created.append(_written(new, row))
        answers[i] = Created(row, device.facts(), False, closed)
    return answers


def numbered(answer: Any, numbers: dict[str, int]) -> Any:
    """The same answer; a command that was created has its number."""
    if isinstance(answer, Created) and not answer.replayed:
        return replace(answer, command=replace(answer.command, n=numbers[answer.command.id]))
    return answer


def _device(unit: Unit, new: NewCommand) -> Held:
    device = unit.held.get(new.device_id)
    if device is None or device.tenant_n != new.tenant_n or device.deleted:
        raise moves.not_found("device")
    return device


async def _forgotten(unit: Unit, row: CommandRow, request_hash: bytes, new: NewCommand, now: int) -> bool:
    if commands.is_forgotten(row, now):
        await unit.db.run(queries("commands")["forget_idempotency_key"], (row.device_id, row.id))
        return True
    commands.refuse_another_request(row, request_hash, new)
    return False


def _check_room(device: Held, new: NewCommand, counts: dict[str, int]) -> None:
    commands.refuse_unbound(device.bound)
    if commands.has_its_turn(new.type) and counts.get(new.device_id, 0) >= commands.MAX_OPEN:
        raise commands.queue_full()


def _clear_the_way(unit: Unit, open_: list[CommandRow], now: int) -> tuple[str, ...]:
    cleared = [row for row in open_ if lifecycle.is_superseded_by_stop(row.type, row.status)]
    for row in cleared:
        unit.move(row, lifecycle.SUPERSEDE, now, **commands.SUPERSEDED)
    return tuple(row.id for row in cleared)


async def _before(unit: Unit, jobs: list[Job]) -> tuple[Before, dict[str, int]]:
    """What each job's key has made before, and how many commands are open on each device."""
    asked = [
        (i, new.device_id, unit.held[new.device_id].generation, new.idempotency_key, commands.has_its_turn(new.type))
        for i, (new, _) in enumerate(job.facts for job in jobs)
        if new.device_id in unit.held
    ]
    before: Before = {}
    counts: dict[str, int] = {}
    found = await unit.db.conn.fetch(Q["before_creation"], *columns(asked, 5), commands.MAX_OPEN)
    for i, count, *facts, request_hash in found:
        device_id = jobs[i].facts[0].device_id
        counts[device_id] = max(count, counts.get(device_id, 0))
        if request_hash is not None:
            before[i] = CommandRow(*facts), request_hash
    return before, counts


async def _open_of_stops(unit: Unit, jobs: list[Job]) -> dict[str, list[CommandRow]]:
    found: dict[str, list[CommandRow]] = {}
    stopped = {job.facts[0].device_id for job in jobs if job.facts[0].type == "stop_recording"}
    for row in await unit.db.conn.fetch(Q["open_of"], list(stopped)) if stopped else ():
        command = CommandRow(*row)
        found.setdefault(command.device_id, []).append(command)
    return found


def _written(new: NewCommand, row: CommandRow) -> tuple[Any, ...]:
    return (
        row.id,
        row.tenant_n,
        row.device_id,
        row.generation,
        row.seq,
        row.type,
        row.params,
        row.created_at,
        row.expires_at,
        new.idempotency_key,
        new.request_hash,
    )
