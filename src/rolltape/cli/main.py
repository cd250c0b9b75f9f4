"""The command `rolltape`: what there is, and how it ends."""

import io
import sys
from typing import Annotated

import typer

from rolltape.cli import admin, commands, demo, devices, end_users, recorder, recordings, relay, relay_tokens, simulate
from rolltape.cli.exits import exit_code_of, explain

app = typer.Typer(
    name="rolltape",
    help="Command voice recorders that sleep or drop off the network, and get their recordings back.",
    epilog="ROLLTAPE_URL and ROLLTAPE_API_KEY say which server to talk to and as whom. See docs/cli.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
demo.add_to(app)
admin.add_to(app)
recorder.add_to(app)
relay.add_to(app)
simulate.add_to(app)
app.add_typer(admin.keys, name="keys")
app.add_typer(admin.projects, name="projects")
app.add_typer(end_users.app, name="end-users")
app.add_typer(devices.app, name="devices")
app.add_typer(commands.app, name="commands")
app.add_typer(recordings.app, name="recordings")
app.add_typer(relay_tokens.app, name="relay-tokens")


def _show_version(wanted: bool) -> None:
    if wanted:
        from rolltape import __version__

        typer.echo(f"rolltape {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line in `sys.argv` and exit with an ExitCode; never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that can't show a letter shows ? instead
    try:
        app()
    except Exception as error:
        explain(error)
        sys.exit(exit_code_of(error))


if __name__ == "__main__":
    main()
