"""Projects, API keys, end users, and the deployment's own facts."""

from rolltape.codes import Code, Mode, Problem
from rolltape.domain.rows import EndUserRow, KeyRow, SigningKeyRow
from rolltape.store.database import Db, Row, queries
from rolltape.store.inputs import NewEndUser, NewKey, Position
from rolltape.store.operations.moves import not_found

_Q = queries("accounts")


async def create_project(db: Db, project_id: str, name: str, now: int) -> None:
    """A project with its two tenants."""
    await db.run(_Q["insert_project"], (project_id, name, now))
    for mode in ("test", "live"):
        await db.run(_Q["insert_tenant"], (project_id, mode))


async def projects(db: Db) -> list[Row]:
    """(id, name, created_at) of each, oldest first."""
    return await db.all(_Q["projects"])


async def project_for_key(db: Db, wanted: str | None, fresh_id: str, now: int) -> str:
    """The wanted project, else the first, else a new one called `default`. Raises Problem: not_found."""
    if wanted is not None:
        if await db.one(_Q["project_exists"], (wanted,)) is None:
            raise not_found("project")
        return wanted
    first = await db.one(_Q["first_project"])
    if first is not None:
        return str(first[0])
    await create_project(db, fresh_id, "default", now)
    return fresh_id


async def tenant_n(db: Db, project_id: str, mode: Mode) -> int:
    """The tenant of that project and mode, which must be there."""
    row = await db.one(_Q["tenant"], (project_id, mode))
    assert row is not None
    return int(row[0])


async def insert_key(db: Db, new: NewKey, now: int) -> KeyRow:
    """Writes a key by its hash."""
    await db.run(_Q["insert_key"], (new.id, new.tenant_n, new.hash, new.name, new.scopes, now))
    row = await db.one(_Q["key_by_id"], (new.id,))
    assert row is not None
    return KeyRow(*row)


async def key_by_hash(db: Db, key_hash: bytes) -> KeyRow | None:
    """The key with that hash, revoked or not."""
    row = await db.one(_Q["key_by_hash"], (key_hash,))
    return None if row is None else KeyRow(*row)


async def list_keys(db: Db, tenant: int, position: Position) -> list[KeyRow]:
    """The tenant's keys that aren't revoked, newest first."""
    return [KeyRow(*row) for row in await db.all(_Q["list_keys"], (tenant, position.below, position.limit))]


async def all_keys(db: Db) -> list[KeyRow]:
    """Every key that isn't revoked, for the operator."""
    return [KeyRow(*row) for row in await db.all(_Q["all_keys"])]


async def revoke_key(db: Db, tenant: int | None, key_id: str, now: int) -> None:
    """Revokes for good; `tenant` None is the operator. Raises Problem: not_found."""
    if tenant is None:
        done = await db.changed(_Q["revoke_key_of_any_tenant"], (now, key_id))
    else:
        done = await db.changed(_Q["revoke_key"], (now, key_id, tenant))
    if not done:
        raise not_found("key")


async def touch_keys(db: Db, used: dict[int, int]) -> None:
    """Notes when keys were last used: key `n` → ms."""
    await db.many(_Q["touch_key"], [(at, n) for n, at in sorted(used.items())])


async def insert_end_user(db: Db, new: NewEndUser, now: int) -> EndUserRow:
    """Writes an end user. Raises Problem: external_id_taken."""
    taken = await db.one(_Q["external_id_taken"], (new.tenant_n, new.external_id))
    if taken is not None:
        raise Problem(
            Code.EXTERNAL_ID_TAKEN,
            "An end user with this external_id exists already. Look it up with ?external_id=.",
            param="external_id",
            details={"end_user_id": taken[0]},
        )
    await db.run(_Q["insert_end_user"], (new.id, new.tenant_n, new.external_id, new.name, new.email, new.metadata, now))
    return await end_user(db, new.tenant_n, new.id)


async def end_user(db: Db, tenant: int, end_user_id: str) -> EndUserRow:
    """The tenant's end user. Raises Problem: not_found."""
    row = await db.one(_Q["end_user"], (end_user_id, tenant))
    if row is None:
        raise not_found("end user")
    return EndUserRow(*row)


async def list_end_users(db: Db, tenant: int, external_id: str | None, position: Position) -> list[EndUserRow]:
    """The tenant's end users, newest first."""
    if external_id is None:
        rows = await db.all(_Q["list_end_users"], (tenant, position.below, position.limit))
    else:
        rows = await db.all(_Q["list_end_users_by_external_id"], (tenant, position.below, external_id, position.limit))
    return [EndUserRow(*row) for row in rows]


async def hold_end_user(db: Db, tenant: int, end_user_id: str) -> None:
    """Nobody binds a device to that end user any more before this transaction ends. Raises Problem: not_found."""
    if await db.one(_Q["hold_end_user"], (end_user_id, tenant)) is None:
        raise not_found("end user")


async def delete_end_user(db: Db, tenant: int, end_user_id: str) -> None:
    """Removes the row. Raises Problem: not_found."""
    if not await db.changed(_Q["delete_end_user"], (end_user_id, tenant)):
        raise not_found("end user")


async def signing_keys(db: Db) -> list[SigningKeyRow]:
    """The deployment's grant keys, oldest first."""
    return [SigningKeyRow(*row) for row in await db.all(_Q["signing_keys"])]


async def insert_signing_key(db: Db, row: SigningKeyRow) -> None:
    """A further grant key."""
    await db.run(_Q["insert_signing_key"], (row.kid, row.public, row.private_sealed, row.created_at))


async def meta(db: Db, key: str) -> str | None:
    """A fact of the deployment."""
    row = await db.one(_Q["meta"], (key,))
    return None if row is None else row[0]


async def set_meta(db: Db, key: str, value: str) -> None:
    """Sets a fact."""
    await db.run(_Q["set_meta"], (key, value))


async def set_meta_once(db: Db, key: str, value: str) -> str:
    """Sets a fact unless it is set; what it is then."""
    await db.run(_Q["set_meta_once"], (key, value))
    found = await meta(db, key)
    assert found is not None
    return found


async def forget_meta(db: Db, key: str) -> None:
    """A fact is one no more."""
    await db.run(_Q["forget_meta"], (key,))
