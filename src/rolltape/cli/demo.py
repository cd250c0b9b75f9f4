"""`rolltape demo`: see it work, in less than a minute."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """The command `demo`."""
    app.command("demo")(demo)


def demo(
    ble: Annotated[
        bool, typer.Option("--ble", help="A recorder with no network, behind a gateway, over a virtual radio.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="End when the story is told, instead of staying up.")] = False,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long to record.")] = 4,
    source: Annotated[
        str | None,
        typer.Option(help="alsa:DEVICE, file:PATH or lavfi:GRAPH.", show_default="the microphone, else a test tone"),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The server's port; 0 takes a free one.")] = 0,
    keep: Annotated[
        Path | None, typer.Option(help="Work in this folder and leave it there; else a throw-away one.")
    ] = None,
) -> None:
    """See all of it work on this machine.

    It runs a server and a recorder, commands the recorder, and gets its recording back.
    """
    from rolltape.cli.demo_story import Story, Wishes, tell

    wishes = Wishes(once=once, seconds=seconds, source=source, port=port, keep=keep)
    if ble:
        if any(find_spec(name) is None for name in ("bleak", "bumble")):
            raise typer.BadParameter("it needs a few packages more: pip install 'rolltape[ble]'", param_hint="--ble")
        from rolltape.cli.demo_ble import BleStory

        raise typer.Exit(tell(wishes, BleStory))
    raise typer.Exit(tell(wishes, Story))
