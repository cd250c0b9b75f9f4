"""`rolltape relay-tokens`."""

from typing import TYPE_CHECKING, Annotated

import typer

from rolltape.cli.options import calls
from rolltape.cli.output import Column, Output

if TYPE_CHECKING:
    from rolltape.sdk.client import Client

app = typer.Typer(help="What lets a phone or a gateway carry for an end user's devices.", no_args_is_help=True)

_FIELDS: list[Column] = [
    ("relay_token", lambda token: token.relay_token),
    ("expires_at", lambda token: token.expires_at),
]


@calls(app, "create")
def create(
    client: "Client",
    out: Output,
    *,
    end_user_id: str,
    device: Annotated[list[str] | None, typer.Option(help="For this device alone; may be repeated.")] = None,
    ttl: Annotated[int | None, typer.Option(help="Seconds that it lasts.", show_default="3600")] = None,
) -> None:
    """Make a relay token for an end user's devices; it is shown this once."""
    out.item(client.relay_tokens.create(end_user_id, device_ids=device, ttl_seconds=ttl), _FIELDS)


@calls(app, "revoke")
def revoke(client: "Client", out: Output, *, end_user_id: str) -> None:
    """End all relay tokens of an end user at once."""
    client.relay_tokens.revoke(end_user_id)
    out.done({"end_user_id": end_user_id, "revoked": True}, f"Revoked the relay tokens of {end_user_id}.")
