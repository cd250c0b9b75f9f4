"""`rolltape end-users`."""

from typing import TYPE_CHECKING, Annotated

import typer

from rolltape.cli.options import Limit, Yes, calls, confirmed, json_object, listed
from rolltape.cli.output import Column, Output

if TYPE_CHECKING:
    from rolltape.sdk.client import Client

app = typer.Typer(help="Your people or places, who have devices.", no_args_is_help=True)

_FIELDS: list[Column] = [
    ("id", lambda user: user.id),
    ("external_id", lambda user: user.external_id),
    ("name", lambda user: user.name),
    ("email", lambda user: user.email),
    ("metadata", lambda user: user.metadata or None),
    ("created_at", lambda user: user.created_at),
]
_COLUMNS: list[Column] = [(name.upper(), read) for name, read in _FIELDS if name != "metadata"]


@calls(app, "create")
def create(
    client: "Client",
    out: Output,
    *,
    external_id: Annotated[str, typer.Argument(help="Your own id for them.")],
    name: str | None = None,
    email: str | None = None,
    metadata: Annotated[str | None, typer.Option(help="A JSON object.")] = None,
) -> None:
    """Make an end user known."""
    facts = json_object(metadata, "--metadata")
    out.item(client.end_users.create(external_id, name=name, email=email, metadata=facts), _FIELDS)


@calls(app, "list")
def list_(client: "Client", out: Output, *, external_id: str | None = None, limit: Limit = 20) -> None:
    """List end users, newest first."""

    def users(limit: int) -> object:
        return client.end_users.list(external_id=external_id, limit=limit)

    out.rows(listed(users, limit, out), _COLUMNS, none="No end users.")


@calls(app, "get")
def get(client: "Client", out: Output, *, end_user_id: str) -> None:
    """Show one end user."""
    out.item(client.end_users.get(end_user_id), _FIELDS)


@calls(app, "delete")
def delete(client: "Client", out: Output, *, end_user_id: str, yes: Yes = False) -> None:
    """Delete an end user and their recordings.

    Their devices are unbound by force.
    """
    confirmed(f"Delete {end_user_id} and all their recordings?", yes=yes)
    client.end_users.delete(end_user_id)
    out.done({"id": end_user_id, "deleted": True}, f"Deleted {end_user_id}.")
