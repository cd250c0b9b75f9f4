"""The gateway from the shell: a relay for recorders on BLE."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_SPOOL = Path("rolltape-relay")


def add_to(app: typer.Typer) -> None:
    """The command `relay`."""
    app.command("relay")(relay)


def relay(
    *,
    server: Annotated[
        str, typer.Option(envvar=["ROLLTAPE_SERVER", "ROLLTAPE_URL"], help="The server's URL.", show_default="required")
    ] = "",
    token: Annotated[
        str | None, typer.Option(envvar="ROLLTAPE_RELAY_TOKEN", help="The relay token that your backend minted.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            envvar="ROLLTAPE_RELAY_TOKEN_FILE",
            help="A file that holds it, read again whenever it changes: put a new one there before the old one ends.",
        ),
    ] = None,
    spool: Annotated[
        Path, typer.Option(envvar="ROLLTAPE_SPOOL", help="Its own folder, for what must survive a power cut.")
    ] = DEFAULT_SPOOL,
    adapter: Annotated[
        str | None, typer.Option(help="The Bluetooth adapter, like hci1.", show_default="the system's first")
    ] = None,
    connections: Annotated[int, typer.Option(min=1, max=16, help="How many recorders at once.")] = 4,
    ca_file: Annotated[Path | None, typer.Option(envvar="ROLLTAPE_CA_FILE", help="The certificate to trust.")] = None,
) -> None:
    """Carry between the recorders on BLE around this machine and the server.

    It ends on SIGTERM or Ctrl-C.
    """
    from rolltape.relay.config import RelaySettings
    from rolltape.relay.run import run_relay

    if not server:
        raise typer.BadParameter("--server is missing, and neither ROLLTAPE_SERVER nor ROLLTAPE_URL is set")
    try:
        settings = RelaySettings(
            server=server,
            token=token,
            token_file=token_file,
            spool_dir=spool,
            adapter=adapter,
            connections=connections,
            ca_file=ca_file,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    raise typer.Exit(run_relay(settings))
