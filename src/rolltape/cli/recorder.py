"""The reference recorder from the shell, its key, and its buttons."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from rolltape.cli.exits import ExitCode
from rolltape.cli.options import Json
from rolltape.cli.output import Output, fields_of

if TYPE_CHECKING:
    from rolltape.recorder.config import RecorderSettings

State = Annotated[Path, typer.Option("--state", envvar="ROLLTAPE_STATE", help="The recorder's own folder.")]
DEFAULT_STATE = Path("rolltape-recorder")
VERBS = ("start", "stop", "mute", "unmute", "status")


def add_to(app: typer.Typer) -> None:
    """`recorder`, `recorder-key` and `recorder-control`."""
    app.command("recorder")(recorder)
    app.command("recorder-key")(key)
    app.command("recorder-control")(control)


def recorder(
    *,
    server: Annotated[
        str | None,
        typer.Option(envvar=["ROLLTAPE_SERVER", "ROLLTAPE_URL"], help="The server's URL; none with BLE alone."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="ROLLTAPE_TOKEN", help="The device token that bind answered.")
    ] = None,
    state: State = DEFAULT_STATE,
    source: Annotated[
        str, typer.Option(envvar="ROLLTAPE_SOURCE", help="alsa:DEVICE, file:PATH or lavfi:GRAPH.")
    ] = "alsa:default",
    ble: Annotated[
        str | None,
        typer.Option(envvar="ROLLTAPE_BLE", help="Take relays by this adapter: hci-socket:0, usb:0."),
    ] = None,
    bind: Annotated[
        Path | None, typer.Option(envvar="ROLLTAPE_BIND", help="Bind's answer, in a file of JSON. BLE needs it.")
    ] = None,
    grant_kid: Annotated[
        str | None, typer.Option(envvar="ROLLTAPE_GRANT_KID", help="For HS256: the key's id from bind.")
    ] = None,
    grant_secret: Annotated[
        str | None, typer.Option(envvar="ROLLTAPE_GRANT_SECRET", help="For HS256: the secret from bind.")
    ] = None,
    ca_file: Annotated[Path | None, typer.Option(envvar="ROLLTAPE_CA_FILE", help="The certificate to trust.")] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(envvar="ROLLTAPE_MQTT_BROKER", help="Take commands by this broker: mqtts://host:8883."),
    ] = None,
) -> None:
    """Run a recorder on this machine.

    It ends on SIGTERM or Ctrl-C.
    """
    from rolltape.mqtt.address import INSTALL as INSTALL_MQTT
    from rolltape.recorder.ble.adapter import INSTALL
    from rolltape.recorder.run import run_recorder

    if ble and find_spec("bumble") is None:
        raise typer.BadParameter(INSTALL, param_hint="--ble")
    if mqtt and find_spec("paho") is None:
        raise typer.BadParameter(f"MQTT needs the package paho-mqtt: {INSTALL_MQTT}", param_hint="--mqtt")
    settings = _settings(
        server=server,
        token=token,
        state_dir=state,
        source=source,
        ble=ble,
        bind=bind,
        grant_kid=grant_kid,
        grant_secret=grant_secret,
        ca_file=ca_file,
        mqtt=mqtt or None,
    )
    raise typer.Exit(run_recorder(settings))


def _settings(*, server: str | None, bind: Path | None, **given: Any) -> "RecorderSettings":
    from rolltape.recorder.binding import read_binding
    from rolltape.recorder.config import RecorderSettings

    try:
        return RecorderSettings(server=server or None, binding=read_binding(bind) if bind else None, **given)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def key(state: State = DEFAULT_STATE) -> None:
    """Show the recorder's own public key.

    Register it as the device's `public_key`. Made when it isn't there.
    """
    from rolltape.recorder.device_key import DeviceKey

    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        typer.echo(DeviceKey(state).public)
    except ValueError as error:
        sys.stderr.write(f"Error: {error}\n")
        raise typer.Exit(ExitCode.FAILED) from error


def control(
    verb: Annotated[str, typer.Argument(metavar="|".join(VERBS), autocompletion=lambda: list(VERBS))],
    state: State = DEFAULT_STATE,
    json: Json = False,
) -> None:
    """Press a button of a recorder that runs here."""
    from rolltape.recorder.control import NotRunning, send

    if verb not in VERBS:
        raise typer.BadParameter(f"one of {', '.join(VERBS)}", param_hint="verb")
    try:
        told = send(state, cast(Any, verb))
    except NotRunning as error:
        sys.stderr.write(f"Error: {error}\n")
        raise typer.Exit(ExitCode.UNREACHABLE) from error
    facts = {name: value for name, value in told.items() if name != "ok"}
    out = Output(as_json=json)
    out.item(told if json else facts, fields_of(facts))
    if not told["ok"]:
        raise typer.Exit(ExitCode.FAILED)
