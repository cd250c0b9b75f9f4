"""What a device says of a command: that it has it (go or no-go), and how it ended."""

from typing import TypeVar

import msgspec

from rolltape.codes import Code, Failure, Problem
from rolltape.domain import views
from rolltape.domain.lifecycle import Word
from rolltape.domain.principal import DevicePrincipal, KeyPrincipal, RelayedDevice, Speaker
from rolltape.domain.rows import CommandRow
from rolltape.service import presence
from rolltape.service.context import Services
from rolltape.service.params import invalid, json_text
from rolltape.store.inputs import IncomingReport, Reported
from rolltape.wire import times
from rolltape.wire.command import Command, Evidence, Go, Report, Route

R = TypeVar("R", bound=Route | None)


def evidence_of(who: Speaker) -> Evidence:
    """How good this caller's word is: a device's own, signed or not, or that of somebody who relays."""
    if isinstance(who, RelayedDevice):
        return who.evidence
    return "device" if isinstance(who, DevicePrincipal) else "relay"


def route_of(who: Speaker, route: R) -> R | Route:
    """By which route this caller speaks: whoever speaks for a device is a relay, whichever call it uses."""
    return route if isinstance(who, DevicePrincipal) else "relay"


def generation_of(who: Speaker) -> int | None:
    """A device, also through a relay, speaks for one binding alone; a key for any."""
    return None if isinstance(who, KeyPrincipal) else who.generation


async def check_device(app: Services, who: Speaker, device_id: str) -> None:
    """A key reaches the devices of its tenant that aren't deleted; a token is its device. Raises Problem: not_found."""
    if isinstance(who, KeyPrincipal):
        await app.store.device_facts(who.tenant.n, device_id)


async def acknowledge(
    app: Services, who: Speaker, device_id: str, command_id: str, *, now: int, route: Route | None = None
) -> Go:
    """Go. `route`: by which it came, None for a call of its own. Raises Problem: not_found, command_no_go."""
    if not isinstance(who, KeyPrincipal) and who.ended:
        await _refuse_ended(app, who, command_id, now)
    await check_device(app, who, device_id)
    presence.touch(app, who, now)
    facts = generation_of(who), evidence_of(who), route_of(who, route)
    row = await app.store.acknowledge(who.tenant.n, device_id, command_id, *facts, now)
    app.wakeups.changed(row.id)
    return Go(go=True, status=row.status)


async def _refuse_ended(app: Services, who: DevicePrincipal | RelayedDevice, command_id: str, now: int) -> None:
    row = await app.store.command_of_generation(who.tenant.n, who.device_id, command_id, who.generation, now)
    raise Problem(
        Code.COMMAND_NO_GO,
        "Do not act on this command: the device's binding is over. Drop it.",
        details={"status": row.status, "go": False},
    )


async def report(app: Services, who: Speaker, device_id: str, command_id: str, body: Report, *, now: int) -> Command:
    """The command after the device's word has landed. Raises Problem: invalid_request, not_found, result_conflict."""
    reported = await land(app, who, device_id, command_id, body, now)
    if reported.outcome == "conflict":
        raise conflict(reported.command)
    return without_metadata(views.command(reported.command, now), who)


def conflict(row: CommandRow) -> Problem:
    """409: the first word stands."""
    return Problem(
        Code.RESULT_CONFLICT,
        f"The command was reported as {row.status} before, with another result. The first stands; drop this one.",
        details={"status": row.status},
    )


async def land(
    app: Services,
    who: Speaker,
    device_id: str,
    command_id: str,
    body: Report,
    now: int,
    route: Route | None = None,
) -> Reported:
    """Hands the report to the store. Raises Problem: invalid_request, not_found."""
    await check_device(app, who, device_id)
    incoming = read(body, evidence_of(who), route_of(who, route))
    presence.touch(app, who, now)
    reported = await app.store.report(who.tenant.n, device_id, command_id, generation_of(who), incoming, now)
    app.wakeups.changed(command_id)
    if reported.unbound:
        app.credentials.forget(device_id)
        app.wakeups.changed(device_id, *reported.closed)
    return reported


def read(body: Report, evidence: Evidence, route: Route | None = None) -> IncomingReport:
    """A report as the store takes it. Raises Problem: invalid_request."""
    result = None if body.result is None else json_text(body.result, "result", "result")
    error_code = error_message = None
    if body.status == "failed":
        error_code = body.error.code if body.error is not None else Failure.INTERNAL.value
        error_message = body.error.message if body.error is not None else "The device gave no reason."
    recording_id, started_at = _recording_in(body)
    return IncomingReport(
        word=Word(body.status, result, error_code, evidence),
        error_message=error_message,
        executed_at=None if body.executed_at is None else _time(body.executed_at, "executed_at"),
        recording_id=recording_id,
        recording_started_at=started_at,
        route=route,
    )


def _time(text: str, param: str) -> int:
    try:
        return times.parse(text)
    except ValueError as error:
        raise invalid(f"{param} is {error}.", param) from None


def _recording_in(body: Report) -> tuple[str | None, int | None]:
    """Which recording a result tells of. It is kept as sent, so what can't be read is no error."""
    result = body.result or {}
    recording_id, started_at = result.get("recording_id"), result.get("started_at")
    try:
        began = times.parse(started_at) if isinstance(started_at, str) else None
    except ValueError:
        began = None
    return (recording_id if isinstance(recording_id, str) else None), began


def without_metadata(command: Command, who: Speaker) -> Command:
    """A device never sees the backend's metadata, nor does a relay."""
    if isinstance(who, KeyPrincipal):
        return command
    return msgspec.structs.replace(command, params=views.grant_params(command.params))
