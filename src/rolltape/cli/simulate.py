"""`rolltape simulate`: a fleet in one process, and whether every promise was kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from rolltape.cli.exits import ExitCode
from rolltape.cli.options import ApiKey, CaFile, NoKey
from rolltape.cli.output import Output, console, fields_of

if TYPE_CHECKING:
    from rolltape.simulate.fleet import Fleet, Watch
    from rolltape.simulate.report import Delay, Report

ROUTES = ("heartbeat", "channel", "mqtt", "mixed")


def add_to(app: typer.Typer) -> None:
    """The command `simulate`."""
    app.command("simulate")(simulate)


def simulate(
    *,
    devices: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many devices.")] = 100,
    route: Annotated[
        str,
        typer.Option(metavar="|".join(ROUTES), help="How they talk to the server.", autocompletion=lambda: [*ROUTES]),
    ] = "heartbeat",
    commands_per_second: Annotated[
        float, typer.Option(min=0, help="Commands that are created, for all together.")
    ] = 10,
    seconds: Annotated[float, typer.Option(min=0, help="How long commands are created.")] = 60,
    every: Annotated[
        float | None,
        typer.Option(min=0.1, max=3600, help="Seconds between heartbeats.", show_default="as the server says"),
    ] = None,
    loss: Annotated[float, typer.Option(min=0, max=0.9, help="The part of all calls that get no answer.")] = 0.05,
    ttl: Annotated[int, typer.Option(min=1, max=604_800, help="How long most commands are good, in seconds.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="What chance does; also names the fleet.")] = 1,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this file too.", dir_okay=False)
    ] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Delete the devices and their end users at the end.")] = False,
    server: Annotated[
        list[str] | None,
        typer.Option(
            envvar=["ROLLTAPE_SERVER", "ROLLTAPE_URL"],
            help="The server's URL; several are taken in turn.",
            show_default="http://127.0.0.1:8787",
        ),
    ] = None,
    broker: Annotated[
        list[str] | None,
        typer.Option(help="The MQTT broker's URL; several are taken in turn.", envvar="ROLLTAPE_MQTT_BROKER"),
    ] = None,
    per_line: Annotated[
        int, typer.Option(min=1, max=1000, help="How many devices share a connection to a broker.")
    ] = 1,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
) -> None:
    """Run a fleet of simulated recorders against a server.

    It makes its own devices, with a key of test mode, commands them, and checks what they did against what the server
    says. It ends with 1 when a promise was broken.
    """
    from rolltape.simulate.fleet import simulate as run
    from rolltape.simulate.settings import Wishes

    if not api_key:
        raise NoKey("no API key: set ROLLTAPE_API_KEY, or pass --api-key; `rolltape keys create --mode test` makes one")
    if route not in ROUTES:
        raise typer.BadParameter(f"one of {', '.join(ROUTES)}", param_hint="--route")
    wishes = Wishes(
        servers=tuple(url.rstrip("/") for url in server or ["http://127.0.0.1:8787"]),
        api_key=api_key,
        ca_file=ca_file,
        devices=devices,
        route=cast(Any, route),
        commands_per_second=commands_per_second,
        seconds=seconds,
        every=every,
        seed=seed,
        loss=loss,
        ttl=ttl,
        clean=clean,
        brokers=tuple(broker or ()),
        per_line=per_line,
    )
    with _figures(wishes.seconds) as watch:
        report = run(wishes, watch)
    _show(report)
    if json is not None:
        import msgspec

        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    raise typer.Exit(_exit_code(report))


def _exit_code(report: "Report") -> ExitCode:
    if not report.is_kept:
        return ExitCode.FAILED
    return ExitCode.NOT_YET if report.unsettled else ExitCode.OK


def _show(report: "Report") -> None:
    out, commands = Output(as_json=False), report.commands
    facts: dict[str, object] = {
        "devices": f"{report.devices} by {report.route}",
        "commands created": commands.created,
        **{status: getattr(commands, status) for status in ("executed", "failed", "expired", "cancelled", "open")},
        "why they failed": ", ".join(f"{code} {count}" for code, count in sorted(commands.failures.items())),
        "create to answer": _delay(report.accepting),
        "create to deed": _delay(report.delay),
        "calls without an answer": f"{report.figures.get('no_answer', 0)} of {report.figures.get('calls', 0)}",
        "power cuts": report.figures.get("power_cuts", 0),
        **{promise.replace("_", " "): count for promise, count in report.broken.items()},
    }
    if report.unsettled:
        facts["still open at the end"] = report.unsettled
    out.item(facts, fields_of(facts))
    for one in report.examples:
        out.hint(f"{one.promise.replace('_', ' ')}: {one.command_id}: {one.why}")
    out.hint("Every promise was kept." if report.is_kept else "A promise was broken.")


def _delay(delay: "Delay") -> str | None:
    if delay.p50_ms is None:
        return None
    return f"p50 {delay.p50_ms:g} ms, p99 {delay.p99_ms:g} ms"


def _figures(seconds: float) -> Any:
    """The live figures on standard error, as the callback that moves them; None where nobody looks."""
    from contextlib import contextmanager, nullcontext

    screen = console(stderr=True)
    if not screen.is_terminal:
        return nullcontext(None)

    from rich.live import Live
    from rich.table import Table

    def table(fleet: "Fleet", phase: str) -> Table:
        grid = Table(box=None, show_header=False, pad_edge=False)
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column()
        for name, value in fleet.now().items():
            grid.add_row(name, value)
        grid.title = f"{phase} ({seconds:g} s of commands)"
        return grid

    @contextmanager
    def shown() -> Any:
        with Live(console=screen, auto_refresh=False, transient=True) as live:
            watch: Watch = lambda fleet, phase: live.update(table(fleet, phase), refresh=True)  # noqa: E731
            yield watch

    return shown()
