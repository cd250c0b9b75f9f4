"""`rolltape commands`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolltape.cli.exits import ExitCode
from rolltape.cli.options import Limit, calls, json_object, listed
from rolltape.cli.output import Column, Output

if TYPE_CHECKING:
    from rolltape.sdk.client import Client
    from rolltape.wire.command import Command

app = typer.Typer(help="Commands, and what became of them.", no_args_is_help=True)
TYPES = ("start_recording", "stop_recording", "trigger_upload")
_LONGEST_WAIT = 60


def _reason(command: "Command") -> str | None:
    return f"{command.error.code}: {command.error.message}" if command.error else None


FIELDS: list[Column] = [
    ("id", lambda command: command.id),
    ("device_id", lambda command: command.device_id),
    ("type", lambda command: command.type),
    ("status", lambda command: command.status),
    ("params", lambda command: command.params or None),
    ("result", lambda command: command.result),
    ("error", _reason),
    ("created_at", lambda command: command.created_at),
    ("delivered_at", lambda command: command.delivered_at),
    ("executed_at", lambda command: command.executed_at),
    ("reported_at", lambda command: command.reported_at),
    ("expires_at", lambda command: command.expires_at),
    ("may_still_run_until", lambda command: command.may_still_run_until),
    ("route", lambda command: command.delivery.route),
    ("offers", lambda command: command.delivery.offers),
    ("evidence", lambda command: command.delivery.evidence),
    ("next_contact_at", lambda command: command.delivery.next_contact_at),
]
_SHOWN_IN_LISTS = ("id", "type", "status", "error", "created_at", "expires_at")
_COLUMNS: list[Column] = [(name.upper(), read) for name, read in FIELDS if name in _SHOWN_IN_LISTS]


@calls(app, "send")
def send(
    client: "Client",
    out: Output,
    *,
    device_id: str,
    type: Annotated[str, typer.Argument(help=", ".join(TYPES), autocompletion=lambda: list(TYPES))],
    wait: Annotated[
        float, typer.Option(min=0, help="Wait so many seconds for its end; the exit code then says how it ended.")
    ] = 0,
    max_duration: Annotated[
        int | None, typer.Option("--max-duration", help="Seconds after which the recording ends by itself.")
    ] = None,
    upload: Annotated[bool, typer.Option("--upload/--no-upload", help="Upload as soon as it has ended.")] = True,
    metadata: Annotated[str | None, typer.Option(help="A JSON object for the recording.")] = None,
    ttl: Annotated[int | None, typer.Option(help="Seconds after which it expires.", show_default="300")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key never makes a second command.")] = None,
) -> None:
    """Send a command to a device.

    Exit code with --wait: 0 executed, 1 failed, expired or cancelled, 7 not at its end yet.
    """
    params: dict[str, Any] = {"max_duration_sec": max_duration, "metadata": json_object(metadata, "--metadata")}
    params["upload_immediately"] = None if upload else False
    given = {name: value for name, value in params.items() if value is not None}
    kind: Any = type
    command = client.commands.create(
        device_id,
        kind,
        params=given or None,
        wait=min(wait, _LONGEST_WAIT),
        ttl_seconds=ttl,
        idempotency_key=idempotency_key,
    )
    if wait > _LONGEST_WAIT and not _at_its_end(command):
        command = client.commands.wait(device_id, command.id, timeout=wait - _LONGEST_WAIT)
    out.item(command, FIELDS)
    _exit_by(command, waited=wait > 0)


def _at_its_end(command: "Command") -> bool:
    from rolltape.sdk.calls.commands import is_terminal

    return is_terminal(command)


def _exit_by(command: "Command", *, waited: bool) -> None:
    if not _at_its_end(command):
        raise typer.Exit(ExitCode.NOT_YET if waited else ExitCode.OK)
    raise typer.Exit(ExitCode.OK if command.status == "executed" else ExitCode.FAILED)


@calls(app, "list")
def list_(
    client: "Client",
    out: Output,
    *,
    device_id: str,
    status: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    type: Annotated[str | None, typer.Option(help="Only this type.")] = None,
    limit: Limit = 20,
) -> None:
    """List a device's commands, newest first."""
    filters: dict[str, Any] = {"status": status, "type": type}

    def commands(limit: int) -> object:
        return client.commands.list(device_id, **filters, limit=limit)

    out.rows(listed(commands, limit, out), _COLUMNS, none="No commands.")


@calls(app, "get")
def get(client: "Client", out: Output, *, device_id: str, command_id: str) -> None:
    """Show a command as it stands."""
    out.item(client.commands.get(device_id, command_id), FIELDS)


@calls(app, "cancel")
def cancel(client: "Client", out: Output, *, device_id: str, command_id: str) -> None:
    """Cancel a pending command.

    may_still_run_until says whether that is certain.
    """
    out.item(client.commands.cancel(device_id, command_id), FIELDS)


@calls(app, "watch")
def watch(
    client: "Client",
    out: Output,
    *,
    device_id: str,
    command_id: str,
    timeout: Annotated[float | None, typer.Option(min=0, help="Stop looking after so many seconds.")] = None,
) -> None:
    """Follow a command to its end.

    It is shown each time that it changes. The exit code says how it ended.
    """
    last = None
    for command in client.commands.watch(device_id, command_id, timeout=timeout):
        out.line(command, _sentence(command))
        last = command
    assert last is not None, "a watch shows the command at least once"
    _exit_by(last, waited=True)


def _sentence(command: "Command") -> str:
    delivery = command.delivery
    parts = [f"{command.status:<10}", command.type, f"offers {delivery.offers}"]
    parts += [f"by {delivery.route}"] if delivery.route else []
    parts += [_reason(command) or ""] if command.error else []
    return "  ".join(parts)


@calls(app, "history")
def history(client: "Client", out: Output, *, device_id: str, command_id: str, limit: Limit = 100) -> None:
    """List what happened to a command."""

    def events(limit: int) -> object:
        return client.commands.history(device_id, command_id, limit=limit)

    columns: list[Column] = [
        ("AT", lambda event: event.created_at),
        ("EVENT", lambda event: event.type),
        ("FROM", lambda event: event.previous_status),
        ("ROUTE", lambda event: (event.data.get("delivery") or {}).get("route")),
        ("EVIDENCE", lambda event: (event.data.get("delivery") or {}).get("evidence")),
        ("ERROR", lambda event: (event.data.get("error") or {}).get("code")),
    ]
    out.rows(listed(events, limit, out), columns, none="No events.")
