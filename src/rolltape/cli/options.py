"""Options that several commands have, and how a call over HTTP becomes a command."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from rolltape.cli.output import Output

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Data = Annotated[
    Path, typer.Option("--data", envvar="ROLLTAPE_DATA", help="The server's data folder.", file_okay=False)
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="The most to list.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="ROLLTAPE_URL", help="The server.", show_default="http://127.0.0.1:8787"),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="ROLLTAPE_API_KEY",
        help="The API key; better in the variable, where other users of the machine can't see it.",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option("--ca-file", envvar="ROLLTAPE_CA_FILE", help="The certificate to trust, for a server of your own."),
]
DEFAULT_DATA = Path("rolltape-data")

_CONNECTION = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
    for name, kind, default in (
        ("url", Url, None),
        ("api_key", ApiKey, None),
        ("ca_file", CaFile, None),
        ("json", Json, False),
    )
]


class NoKey(Exception):
    """A call to a server, and nobody said as whom."""


def calls(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command of `app` that talks to a server.

    The function's first two parameters are the client and the output; the rest are the command's own options. The
    options for the connection, and --json, are added.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function).parameters.values())[2:]

        def command(url: str | None, api_key: str | None, ca_file: Path | None, json: bool, **given: Any) -> None:
            from rolltape.sdk.client import Client

            if not api_key:
                raise NoKey("no API key: set ROLLTAPE_API_KEY, or pass --api-key; `rolltape keys create` makes one")
            with Client(url, api_key, ca_file=ca_file) as client:
                function(client, Output(as_json=json), **given)

        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own] + _CONNECTION
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        command.__doc__ = function.__doc__
        app.command(name)(command)
        return function

    return decorate


def confirmed(question: str, *, yes: bool) -> None:
    """Go on only when the user agrees; without a terminal to ask on, --yes is needed. Raises typer.Abort."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def json_object(text: str | None, option: str) -> dict[str, Any] | None:
    """The object in an option's JSON. BadParameter for anything else."""
    if text is None:
        return None
    import msgspec

    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise typer.BadParameter(
            f'it takes a JSON object, like \'{{"room": "12"}}\': {error}', param_hint=option
        ) from error


def listed(client_list: Callable[..., Any], limit: int, out: Output) -> list[Any]:
    """Up to `limit` items, and a hint where there are more."""
    items = list(client_list(limit=limit + 1))
    if len(items) > limit:
        out.hint(f"There are more than {limit}; --limit lists more.")
    return items[:limit]
