"""docs/cli.md and docs/sdk.md against the code."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from rolltape.cli.exits import ExitCode
from rolltape.cli.main import app
from rolltape.sdk import errors
from rolltape.sdk.client import Client

DOCS = Path(__file__).parents[2] / "docs"


def commands(typer_app: typer.Typer, before: str = "rolltape") -> list[str]:
    own = [f"{before} {one.name}" for one in typer_app.registered_commands]
    for group in typer_app.registered_groups:
        assert group.typer_instance is not None
        own += commands(group.typer_instance, f"{before} {group.name}")
    return own


def test_every_command_is_in_the_document_and_no_other() -> None:
    rows = re.findall(r"^\| `(rolltape [a-z -]+?)(?: [A-Z ]+)?` \|", (DOCS / "cli.md").read_text(), re.M)
    assert sorted(rows) == sorted(commands(app))


def test_every_exit_code_is_in_the_document() -> None:
    rows = re.findall(r"^\| (\d+) \|", (DOCS / "cli.md").read_text(), re.M)
    assert [int(row) for row in rows] == [*map(int, ExitCode), 130]


@pytest.mark.parametrize("resource", ["devices", "commands", "end_users", "recordings", "relay_tokens", "keys"])
def test_every_call_of_the_sdk_is_in_the_document(resource: str) -> None:
    (row,) = re.findall(rf"^\| `client.{resource}` \| (.+) \|$", (DOCS / "sdk.md").read_text(), re.M)
    with Client("http://127.0.0.1:1", "k") as client:
        calls: Any = {name for name in dir(getattr(client, resource)) if not name.startswith("_")}
    assert set(re.findall(r"`(\w+)`", row)) == calls - {"hands"}


def test_every_error_of_the_sdk_is_in_the_document() -> None:
    told = (DOCS / "sdk.md").read_text()
    assert [name for name in errors.__all__ if f"`{name}`" not in told and name != "RolltapeError"] == []
