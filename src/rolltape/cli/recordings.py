"""`rolltape recordings`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolltape.cli.options import Limit, Yes, calls, confirmed, json_object, listed
from rolltape.cli.output import Column, Output, length, size, transfer_bar

if TYPE_CHECKING:
    from rolltape.sdk.client import Client

app = typer.Typer(help="What the devices recorded.", no_args_is_help=True)

_FIELDS: list[Column] = [
    ("id", lambda one: one.id),
    ("name", lambda one: one.name),
    ("status", lambda one: one.status),
    ("device_id", lambda one: one.device_id),
    ("end_user_id", lambda one: one.end_user_id),
    ("command_id", lambda one: one.command_id),
    ("source", lambda one: one.source),
    ("started_at", lambda one: one.started_at),
    ("ended_at", lambda one: one.ended_at),
    ("length", lambda one: length(one.duration_ms)),
    ("size", lambda one: size(one.file_size_bytes)),
    ("content_sha256", lambda one: one.content_sha256),
    ("verified_at", lambda one: one.content_sha256_verified_at),
    ("metadata", lambda one: one.metadata or None),
]
_SHOWN_IN_LISTS = ("id", "status", "device_id", "started_at", "length", "size")
_COLUMNS: list[Column] = [(name.upper(), read) for name, read in _FIELDS if name in _SHOWN_IN_LISTS]


@calls(app, "list")
def list_(
    client: "Client",
    out: Output,
    *,
    device_id: str | None = None,
    end_user_id: str | None = None,
    status: Annotated[str | None, typer.Option(help="pending, uploaded, failed or integrity_failure.")] = None,
    command_id: str | None = None,
    limit: Limit = 20,
) -> None:
    """List recordings, newest first."""
    filters: dict[str, Any] = {
        "device_id": device_id,
        "end_user_id": end_user_id,
        "status": status,
        "command_id": command_id,
    }

    def recordings(limit: int) -> object:
        return client.recordings.list(**filters, limit=limit)

    out.rows(listed(recordings, limit, out), _COLUMNS, none="No recordings.")


@calls(app, "get")
def get(client: "Client", out: Output, *, recording_id: str) -> None:
    """Show one recording."""
    out.item(client.recordings.get(recording_id), _FIELDS)


@calls(app, "download")
def download(
    client: "Client",
    out: Output,
    *,
    recording_id: str,
    path: Annotated[str, typer.Argument(help="A file, or a folder to put it in.")] = ".",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Download a recording's audio.

    Broken off, it goes on where it was. Its SHA-256 is checked.
    """
    if Path(path).is_file() and not force:
        raise typer.BadParameter(f"{path} exists; --force replaces it", param_hint="path")
    with transfer_bar(recording_id, out) as moved:
        target = client.recordings.download(recording_id, path, progress=moved)
    out.done({"id": recording_id, "path": str(target), "size_bytes": target.stat().st_size}, str(target))


@calls(app, "upload")
def upload(
    client: "Client",
    out: Output,
    *,
    path: Annotated[Path, typer.Argument(help="An audio file.", exists=True, dir_okay=False)],
    recording_id: Annotated[str | None, typer.Option(help="A recording that waits for its bytes.")] = None,
    content_type: Annotated[str | None, typer.Option(help="Like audio/ogg; else told by the name.")] = None,
    started_at: Annotated[str | None, typer.Option(help="ISO 8601; else the file's own time.")] = None,
    device_id: str | None = None,
    end_user_id: str | None = None,
    name: str | None = None,
    metadata: Annotated[str | None, typer.Option(help="A JSON object.")] = None,
) -> None:
    """Upload an audio file.

    Broken off, it goes on where it was. Its SHA-256 is checked. Say whose it is: --device-id or --end-user-id.
    """
    given: dict[str, Any] = {
        "recording_id": recording_id,
        "content_type": content_type,
        "started_at": started_at,
        "device_id": device_id,
        "end_user_id": end_user_id,
        "name": name,
        "metadata": json_object(metadata, "--metadata"),
    }
    with transfer_bar(path.name, out) as moved:
        recording = client.recordings.upload(path, **given, progress=moved)
    out.item(recording, _FIELDS)


@calls(app, "delete")
def delete(client: "Client", out: Output, *, recording_id: str, yes: Yes = False) -> None:
    """Delete a recording and its audio."""
    confirmed(f"Delete {recording_id} and its audio?", yes=yes)
    client.recordings.delete(recording_id)
    out.done({"id": recording_id, "deleted": True}, f"Deleted {recording_id}.")
