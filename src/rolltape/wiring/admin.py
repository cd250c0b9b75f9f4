"""What an operator does on the data folder itself, beside the running server."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from rolltape.clock import SystemClock
from rolltape.codes import SCOPES, Mode, Problem, Scope
from rolltape.config import Settings
from rolltape.domain import views
from rolltape.service.keys import in_order, secret_for
from rolltape.store import inputs
from rolltape.store.database import Db, drive
from rolltape.store.operations import accounts
from rolltape.store.sqlite.database import FILE_NAME
from rolltape.wire.ids import fingerprint, new_id
from rolltape.wire.times import iso
from rolltape.wiring.build import open_vault
from rolltape.wiring.databases import open_db

T = TypeVar("T")


class NoDatabase(Exception):
    """The folder is no data folder; the message says what to do."""


def _on_database(data: Path, work: Callable[[Db], Coroutine[Any, Any, T]], *, make: bool = False) -> T:
    """What `work` answers on the database of that folder, or on PostgreSQL where that is set."""
    settings = Settings.from_env(os.environ, data=data)
    if settings.database is None and not make and not (data / FILE_NAME).exists():
        raise NoDatabase(f"There is no database in {data}. Name the server's data folder with --data.")

    async def on_it() -> T:
        async with open_db(settings) as db:
            return await work(db)

    return drive(on_it()) if settings.database is None else asyncio.run(on_it())


def admin_create_key(
    data: Path, mode: str, scopes: list[str] | None, name: str | None, project_id: str | None
) -> dict[str, Any]:
    """Makes a key, and the first project if there is none. Raises Problem: not_found for a project that isn't there."""
    now = SystemClock().now_ms()
    chosen: tuple[Scope, ...] = SCOPES if scopes is None else in_order(frozenset(scopes))
    secret = secret_for(chosen, mode)

    async def work(db: Db) -> dict[str, Any]:
        async with db.transaction():
            project = await accounts.project_for_key(db, project_id, new_id("proj", now), now)
            new = inputs.NewKey(
                id=new_id("key", now),
                tenant_n=await accounts.tenant_n(db, project, cast(Mode, mode)),
                hash=fingerprint(secret),
                name=name,
                scopes=msgspec.json.encode(chosen).decode(),
            )
            await accounts.insert_key(db, new, now)
        return {"id": new.id, "key": secret, "project_id": project, "scopes": list(chosen)}

    return _on_database(data, work, make=True)


def admin_list_keys(data: Path) -> list[dict[str, Any]]:
    """Every key that isn't revoked, without its secret. Raises NoDatabase, as all that make nothing do."""
    return [msgspec.to_builtins(views.key(row)) for row in _on_database(data, accounts.all_keys)]


def admin_revoke_key(data: Path, key_id: str) -> bool:
    """Ends a key within the second, also on a running server; whether there was one."""

    async def work(db: Db) -> bool:
        async with db.transaction():
            try:
                await accounts.revoke_key(db, None, key_id, SystemClock().now_ms())
            except Problem:
                return False
        return True

    return _on_database(data, work)


def admin_create_project(data: Path, name: str) -> dict[str, Any]:
    """Makes a project."""
    now = SystemClock().now_ms()
    project_id = new_id("proj", now)

    async def work(db: Db) -> None:
        async with db.transaction():
            await accounts.create_project(db, project_id, name, now)

    _on_database(data, work, make=True)
    return {"id": project_id, "name": name, "created_at": iso(now)}


def admin_list_projects(data: Path) -> list[dict[str, Any]]:
    """All projects, oldest first."""
    found = _on_database(data, accounts.projects)
    return [{"id": id_, "name": name, "created_at": iso(at)} for id_, name, at in found]


def admin_rotate_grant_key(data: Path) -> dict[str, Any]:
    """Makes a new grant key. A running server takes it within a second or two; a device's grants are signed with it
    once the device has said that it holds it. Raises BrokenKey."""
    now = SystemClock().now_ms()

    async def work(db: Db) -> dict[str, Any]:
        vault = await open_vault(Settings.from_env(os.environ, data=data), db, now)
        row = vault.new_signing_key(now)
        async with db.transaction():
            await accounts.insert_signing_key(db, row)
        return {"kid": row.kid, "alg": "EdDSA", "created_at": iso(now)}

    return _on_database(data, work)
