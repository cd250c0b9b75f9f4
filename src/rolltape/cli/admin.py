"""Commands for whoever runs a server: they work on its data folder, beside the running server."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rolltape.cli.exits import ExitCode
from rolltape.cli.options import DEFAULT_DATA, Data, Json
from rolltape.cli.output import Column, Output, fields_of, transfer_bar

keys = typer.Typer(help="API keys, on the data folder.", no_args_is_help=True)
projects = typer.Typer(help="Projects, on the data folder.", no_args_is_help=True)

_MODES = ("test", "live")


def add_to(app: typer.Typer) -> None:
    """The commands that are in no group."""
    app.command("serve")(serve)
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.command("move-recordings")(move_recordings)
    app.command("migrate-store")(migrate_store)
    app.command("doctor")(doctor)


def serve(
    *,
    data: Data = DEFAULT_DATA,
    host: Annotated[str | None, typer.Option(envvar="ROLLTAPE_HOST", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None,
        typer.Option(envvar="ROLLTAPE_PORT", min=0, max=65535, show_default="8787", help="0 takes a free one."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(envvar="ROLLTAPE_TLS_CERT", help="Certificate chain (PEM): then it speaks TLS.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(envvar="ROLLTAPE_TLS_KEY", help="Its private key (PEM).")] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            envvar="ROLLTAPE_WORKERS", min=1, max=256, show_default="1", help="Processes; over 1 needs PostgreSQL."
        ),
    ] = None,
) -> None:
    """Run the server.

    It prints its URL once it answers; SIGTERM drains it. With several workers SIGHUP restarts them one by one.
    """
    from rolltape.config import Settings

    settings = Settings.from_env(
        os.environ, data=data, host=host, port=port, tls_cert=tls_cert, tls_key=tls_key, workers=workers
    )
    if settings.workers > 1:  # the parent imports none of the server's code
        from rolltape.nodes.parent import serve_nodes

        raise typer.Exit(serve_nodes(settings, os.environ))
    from rolltape import wiring

    raise typer.Exit(wiring.serve(settings))


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    data: Data = DEFAULT_DATA,
    json: Json = False,
) -> None:
    """Copy a data folder into one file.

    Database, master key and recordings, also while the server runs. Keep the file secret.
    """
    from rolltape import wiring

    out = Output(as_json=json)
    with transfer_bar("backup", out) as moved:
        told = wiring.admin_backup(data, target, moved)
    out.done(told, f"Backed up to {target}.")


def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What backup made.")],
    data: Data = DEFAULT_DATA,
    json: Json = False,
) -> None:
    """Unpack a backup into an empty data folder."""
    from rolltape import wiring

    told = wiring.admin_restore(source, data)
    Output(as_json=json).done(told, f"Restored {source} to {data}. Next: rolltape serve --data {data}")


def move_recordings(data: Data = DEFAULT_DATA, json: Json = False) -> None:
    """Move the bytes of recordings from the data folder to ROLLTAPE_RECORDINGS.

    The server must be stopped. Each file is checked and sent before it is removed; broken off, begin it again.
    """
    from rolltape import wiring

    out = Output(as_json=json)
    with transfer_bar("move", out) as moved:
        told = wiring.admin_move_recordings(data, moved)
    stayed = ", ".join(f"{told[name]} {name}" for name in ("broken", "unfinished", "unknown") if told[name])
    out.done(told, f"Moved {told['moved']} recordings{f'; not moved: {stayed}' if stayed else ''}.")


def migrate_store(
    *,
    data: Data = DEFAULT_DATA,
    undo: Annotated[
        bool, typer.Option("--undo", help="Go back to the data folder, without what PostgreSQL has had since.")
    ] = False,
    json: Json = False,
) -> None:
    """Copy the SQLite database of a data folder into ROLLTAPE_DATABASE.

    The server must be stopped, and the PostgreSQL empty. Broken off, begin it again. All rows are compared at the end.
    """
    from rolltape import wiring

    out = Output(as_json=json)
    if undo:
        out.done(wiring.admin_undo_migration(data), f"{data} can be served again. Unset ROLLTAPE_DATABASE.")
        return
    with transfer_bar("migrate", out, of="rows") as moved:
        told = wiring.admin_migrate_store(data, moved)
    if told["finished_before"]:
        out.done(told, "All of it was moved before. Serve it with ROLLTAPE_DATABASE set.")
    else:
        tables = len(told["tables"])
        out.done(
            told, f"Copied and compared {told['rows']:,} rows in {tables} tables. Serve it with ROLLTAPE_DATABASE set."
        )


def doctor(data: Data = DEFAULT_DATA, json: Json = False) -> None:
    """Find what is wrong, and how to mend it.

    It looks at the settings, the disk, the clock, the keys and the data folder. Exit code 1 on an error.
    """
    from rolltape import wiring

    out = Output(as_json=json)
    findings = wiring.admin_doctor(data, os.environ)
    rows = [{"level": one.level, "what": one.what, "cure": one.cure} for one in findings]
    columns: list[Column] = [
        ("", lambda row: {"ok": "ok", "warning": "warning", "error": "ERROR"}.get(row["level"], row["level"])),
        ("FINDING", lambda row: row["what"]),
        ("CURE", lambda row: row["cure"]),
    ]
    out.rows(rows, columns, none="Nothing was looked at.")
    if any(row["level"] == "error" for row in rows):
        raise typer.Exit(ExitCode.FAILED)


@keys.command("create")
def create_key(
    *,
    data: Data = DEFAULT_DATA,
    mode: Annotated[str, typer.Option(help="test or live; their data never meet.")] = "test",
    scopes: Annotated[
        str | None, typer.Option(help="Comma-separated, like devices:read,recordings:read; default all.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    project: Annotated[str | None, typer.Option(help="The project's id; else the first one, made if need be.")] = None,
    json: Json = False,
) -> None:
    """Make an API key. It is shown this once; a running server honours it at once."""
    chosen = _scopes(scopes)
    if mode not in _MODES:
        raise typer.BadParameter("test or live", param_hint="--mode")
    from rolltape import wiring

    is_new = not os.environ.get("ROLLTAPE_DATABASE") and not (data / "rolltape.db").exists()
    made: dict[str, Any] = wiring.admin_create_key(data, mode, chosen, name, project)
    shown = {field: made[field] for field in ("id", "key", "project_id", "scopes")}
    out = Output(as_json=json)
    out.item(shown, fields_of(shown))
    if is_new:
        out.hint(f"\n{data} had no database and has one now: the key is good for a server on this folder alone.")
    out.hint("\nKeep it now: only a hash of it is stored. To use it from this shell:")
    out.hint(f"  export ROLLTAPE_API_KEY={made['key']}")


def _scopes(text: str | None) -> list[str] | None:
    from rolltape.codes import SCOPES

    if text is None:
        return None
    chosen = [scope.strip() for scope in text.split(",") if scope.strip()]
    unknown = [scope for scope in chosen if scope not in SCOPES]
    if unknown or not chosen:
        wrong = ", ".join(unknown) or "none given"
        raise typer.BadParameter(f"{wrong}; scopes are {', '.join(SCOPES)}", param_hint="--scopes")
    return chosen


@keys.command("list")
def list_keys(data: Data = DEFAULT_DATA, json: Json = False) -> None:
    """List the API keys, without their secrets."""
    from rolltape import wiring

    _list(wiring.admin_list_keys(data), "No keys yet: rolltape keys create makes one.", json)


@keys.command("revoke")
def revoke_key(key_id: str, data: Data = DEFAULT_DATA, json: Json = False) -> None:
    """End a key at once."""
    from rolltape import wiring

    if not wiring.admin_revoke_key(data, key_id):
        sys.stderr.write(f"Error: there is no key {key_id}; rolltape keys list shows them\n")
        raise typer.Exit(ExitCode.NOT_FOUND)
    Output(as_json=json).done({"id": key_id, "revoked": True}, f"Revoked {key_id}.")


@keys.command("rotate-grant-key")
def rotate_grant_key(data: Data = DEFAULT_DATA, json: Json = False) -> None:
    """Make a new key for signing grants.

    A device's grants use it once the device has confirmed that it holds it.
    """
    from rolltape import wiring

    told = wiring.admin_rotate_grant_key(data)
    Output(as_json=json).item(told, fields_of(told))


@projects.command("create")
def create_project(name: str, data: Data = DEFAULT_DATA, json: Json = False) -> None:
    """Make a project."""
    from rolltape import wiring

    told = wiring.admin_create_project(data, name)
    Output(as_json=json).item(told, fields_of(told))


@projects.command("list")
def list_projects(data: Data = DEFAULT_DATA, json: Json = False) -> None:
    """List the projects."""
    from rolltape import wiring

    _list(wiring.admin_list_projects(data), "No projects yet: rolltape projects create makes one.", json)


def _list(rows: list[dict[str, Any]], none: str, json: bool) -> None:
    columns = [(name.upper(), read) for name, read in fields_of(rows[0])] if rows else []
    if not json:
        rows = [{name: _briefly(value) for name, value in row.items()} for row in rows]
    Output(as_json=json).rows(rows, columns, none=none)


def _briefly(value: Any) -> Any:
    from rolltape.codes import SCOPES

    return "all" if value == list(SCOPES) else value
