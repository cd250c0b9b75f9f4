"""What a device says of a command: that it has it, and how it ended."""

from typing import Any

from msgspec.structs import replace

from rolltape.codes import Code, Failure, Problem
from rolltape.domain import lifecycle, views
from rolltape.domain.lifecycle import Verdict
from rolltape.domain.rows import CommandRow
from rolltape.store.database import Db, queries
from rolltape.store.inputs import IncomingReport, Reported
from rolltape.store.operations import bindings, expiry, states
from rolltape.store.operations.moves import get, move, not_found
from rolltape.wire.command import DEFAULT_MAX_DURATION_SEC, Evidence, Route

_Q = queries("commands")


async def mine(db: Db, tenant_n: int, device_id: str, command_id: str, generation: int | None) -> CommandRow:
    """The command, if this caller may speak of it. Raises Problem: not_found."""
    return spoken_of(await get(db, tenant_n, device_id, command_id), generation)


def spoken_of(row: CommandRow | None, generation: int | None) -> CommandRow:
    """The command that was found, if whoever is bound to `generation` may speak of it. Raises Problem: not_found."""
    if row is None or generation not in (None, row.generation):
        raise not_found("command on this device")
    return row


async def acknowledge(
    db: Db,
    tenant_n: int,
    device_id: str,
    command_id: str,
    generation: int | None,
    evidence: Evidence,
    route: Route | None,
    now: int,
) -> CommandRow:
    """Go: the command, which is `delivered` then. `generation` is the token's, None for a key.

    Raises Problem: not_found, command_no_go.
    """
    await db.hold((device_id,))
    await expiry.settle(db, now)
    row = await mine(db, tenant_n, device_id, command_id, generation)
    binding = await db.one(_Q["binding_of"], (device_id,))
    assert binding is not None
    if not lifecycle.may_go(row.type, row.status, row.seq, last_stop_seq=binding[2]):
        raise no_go(row)
    if row.status == "delivered":
        return row
    return await move(db, row, lifecycle.ACKNOWLEDGE, now, **taking(row, evidence, route, now))


def taking(row: CommandRow, evidence: Evidence, route: Route | None, now: int) -> dict[str, Any]:
    """What an acknowledgement changes of its command, beside the status."""
    return {"delivered_at": now, "evidence": evidence, "route": route or row.route}


def no_go(row: CommandRow) -> Problem:
    """409: the device drops the command."""
    why = f"it is {row.status}" if row.status not in lifecycle.OPEN else "a later stop was created"
    return Problem(
        Code.COMMAND_NO_GO, f"Do not act on this command: {why}. Drop it.", details={"status": row.status, "go": False}
    )


async def report(
    db: Db,
    tenant_n: int,
    device_id: str,
    command_id: str,
    generation: int | None,
    incoming: IncomingReport,
    now: int,
) -> Reported:
    """Lands the device's word, by rule 3. A conflict changes nothing and is told as `outcome`.

    Raises Problem: not_found.
    """
    await db.hold((device_id,))
    await expiry.settle(db, now)
    row = await mine(db, tenant_n, device_id, command_id, generation)
    word = incoming.word
    verdict = lifecycle.judge_report(row.status, row.result, row.error_code, row.evidence, word)
    if verdict in ("lands", "replaces"):
        return await _land(db, row, incoming, verdict, now)
    if verdict == "equal_but_stronger":
        await db.run(_Q["strengthen"], (word.evidence, row.device_id, row.id, row.evidence))
        row = replace(row, evidence=word.evidence)
    return Reported(row, "conflict" if verdict == "conflicts" else "accepted")


async def _land(db: Db, row: CommandRow, incoming: IncomingReport, verdict: Verdict, now: int) -> Reported:
    how = lifecycle.report_move(incoming.word, verdict)
    moved = await move(db, row, how, now, **landing(row, incoming, now))
    if verdict == "replaces":
        await _take_back(db, row, incoming.word.evidence, now)
    closed = await _follow(db, moved, incoming, now)
    return Reported(moved, "accepted", closed is not None, closed or ())


def landing(row: CommandRow, incoming: IncomingReport, now: int) -> dict[str, Any]:
    """What a word that lands changes of its command, beside the status."""
    word = incoming.word
    executed_at = incoming.executed_at
    if executed_at is None and word.status == "executed":
        executed_at = now
    return {
        "result": word.result,
        "error_code": word.error_code,
        "error_message": incoming.error_message,
        "delivered_at": row.delivered_at if row.delivered_at is not None else now,
        "executed_at": executed_at,
        "reported_at": now,
        "evidence": word.evidence,
        "route": row.route if row.delivered_at is not None else incoming.route or row.route,
    }


async def _follow(db: Db, row: CommandRow, incoming: IncomingReport, now: int) -> tuple[str, ...] | None:
    """What follows from a landed word for the device itself; where it ended the binding, the commands this closed."""
    if begins_recording(row):
        await _recording_began(db, row, incoming, now)
    elif ends_recording(row):
        await _recording_ended(db, row, incoming.word.evidence, now)
    elif row.type == "factory_reset" and row.status == "executed":
        return await bindings.end_generation(db, row.device_id, row.generation, now)
    return None


def begins_recording(row: CommandRow) -> bool:
    """Whether what landed says that a recording began."""
    return row.type == "start_recording" and row.status == "executed"


def ends_recording(row: CommandRow) -> bool:
    """Whether what landed says that nothing is being recorded any more."""
    return row.type == "stop_recording" and (row.status == "executed" or row.error_code == Failure.NOT_RECORDING)


async def _generation(db: Db, device_id: str) -> int:
    binding = await db.one(_Q["binding_of"], (device_id,))
    assert binding is not None
    return int(binding[0])


async def _recording_ended(db: Db, stop: CommandRow, evidence: Evidence, now: int) -> None:
    """A stop ends what ran before it: not what a newer start began, nor what a later binding did."""
    await db.run(_Q["stop_was_carried_out"], (stop.seq, stop.device_id))
    if await _generation(db, stop.device_id) != stop.generation:
        return
    if await db.one(_Q["newer_start_ran"], (stop.device_id, stop.n)) is None:
        await states.recording_ended(db, stop.device_id, None, evidence, now)


async def _take_back(db: Db, before: CommandRow, evidence: Evidence, now: int) -> None:
    """Better evidence says otherwise than that a start was executed so: the recording that it told of doesn't run."""
    if before.type != "start_recording" or before.status != "executed":
        return
    if await _generation(db, before.device_id) == before.generation:
        recording_id = (views.from_json(before.result) or {}).get("recording_id")
        named = recording_id if isinstance(recording_id, str) else None
        await states.recording_taken_back(db, before.device_id, named, evidence, now)


async def _recording_began(db: Db, row: CommandRow, incoming: IncomingReport, now: int) -> None:
    binding = await db.one(_Q["binding_of"], (row.device_id,))
    assert binding is not None
    generation, _, _, last_ended_stop_seq = binding
    if generation != row.generation or row.seq < last_ended_stop_seq:
        return  # a later stop was carried out already, or another binding began since
    newer = await db.one(_Q["newer_start_ran"], (row.device_id, row.n))
    if newer is not None and await states.runs(db, row.device_id, now):
        return  # this word comes late: what a later start began runs, so what this one began is over
    began, until = run_of(row, incoming, now)
    await states.recording_began(db, row.device_id, incoming.recording_id, began, until, incoming.word.evidence, now)


def run_of(row: CommandRow, incoming: IncomingReport, now: int) -> tuple[int | None, int]:
    """When a recording began, as the device says, and until when it can run at the longest."""
    began = incoming.recording_started_at if incoming.recording_started_at is not None else row.executed_at
    longest = views.from_json(row.params).get("max_duration_sec", DEFAULT_MAX_DURATION_SEC)
    # No start begins before its command was there, whatever the device's clock says.
    return began, max(row.created_at, min(now, began if began is not None else now)) + longest * 1000
