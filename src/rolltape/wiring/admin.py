"""What an operator does on the data folder itself, beside the running server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

from rolltape.clock import SystemClock
from rolltape.codes import SCOPES, Mode, Problem, Scope
from rolltape.config import Settings
from rolltape.domain import views
from rolltape.service.keys import in_order, secret_for
from rolltape.store import inputs
from rolltape.store.sqlite import accounts
from rolltape.store.sqlite.database import FILE_NAME, Db, transaction
from rolltape.wire.ids import fingerprint, new_id
from rolltape.wire.times import iso
from rolltape.wiring.build import open_database, open_vault


class NoDatabase(Exception):
    """The folder is no data folder; the message says what to do."""


@contextmanager
def _database(data: Path, *, make: bool = False) -> Iterator[Db]:
    if not make and not (data / FILE_NAME).exists():
        raise NoDatabase(f"There is no database in {data}. Name the server's data folder with --data.")
    db = open_database(data)
    try:
        yield db
    finally:
        db.conn.close()


def admin_create_key(
    data: Path, mode: str, scopes: list[str] | None, name: str | None, project_id: str | None
) -> dict[str, Any]:
    """Makes a key, and the first project if there is none. Raises Problem: not_found for a project that isn't there."""
    now = SystemClock().now_ms()
    chosen: tuple[Scope, ...] = SCOPES if scopes is None else in_order(frozenset(scopes))
    secret = secret_for(chosen, mode)
    with _database(data, make=True) as db, transaction(db):
        project = accounts.project_for_key(db, project_id, new_id("proj", now), now)
        new = inputs.NewKey(
            id=new_id("key", now),
            tenant_n=accounts.tenant_n(db, project, cast(Mode, mode)),
            hash=fingerprint(secret),
            name=name,
            scopes=msgspec.json.encode(chosen).decode(),
        )
        accounts.insert_key(db, new, now)
    return {"id": new.id, "key": secret, "project_id": project, "scopes": list(chosen)}


def admin_list_keys(data: Path) -> list[dict[str, Any]]:
    """Every key that isn't revoked, without its secret. Raises NoDatabase, as all that make nothing do."""
    with _database(data) as db:
        return [msgspec.to_builtins(views.key(row)) for row in accounts.all_keys(db)]


def admin_revoke_key(data: Path, key_id: str) -> bool:
    """Ends a key within the second, also on a running server; whether there was one."""
    with _database(data) as db, transaction(db):
        try:
            accounts.revoke_key(db, None, key_id, SystemClock().now_ms())
        except Problem:
            return False
    return True


def admin_create_project(data: Path, name: str) -> dict[str, Any]:
    """Makes a project."""
    now = SystemClock().now_ms()
    project_id = new_id("proj", now)
    with _database(data, make=True) as db, transaction(db):
        accounts.create_project(db, project_id, name, now)
    return {"id": project_id, "name": name, "created_at": iso(now)}


def admin_list_projects(data: Path) -> list[dict[str, Any]]:
    """All projects, oldest first."""
    with _database(data) as db:
        return [{"id": id_, "name": name, "created_at": iso(at)} for id_, name, at in accounts.projects(db)]


def admin_rotate_grant_key(data: Path) -> dict[str, Any]:
    """Makes a new grant key. A running server takes it within a second or two; a device's grants are signed with it
    once the device has said that it holds it. Raises BrokenKey."""
    now = SystemClock().now_ms()
    with _database(data) as db:
        vault = open_vault(Settings.from_env(os.environ, data=data), db, now)
        row = vault.new_signing_key(now)
        with transaction(db):
            accounts.insert_signing_key(db, row)
    return {"kid": row.kid, "alg": "EdDSA", "created_at": iso(now)}
