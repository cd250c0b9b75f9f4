"""End users: the people whom devices are bound to."""

from rolltape.domain import views
from rolltape.domain.principal import KeyPrincipal
from rolltape.service import recordings
from rolltape.service.context import Services
from rolltape.service.paging import page
from rolltape.service.params import json_text
from rolltape.store.inputs import NewEndUser, Position
from rolltape.wire.account import CreateEndUser, EndUser
from rolltape.wire.common import Page
from rolltape.wire.ids import new_id


async def create_end_user(app: Services, who: KeyPrincipal, body: CreateEndUser, *, now: int) -> EndUser:
    """A new end user. Raises Problem: invalid_request, external_id_taken."""
    new = NewEndUser(
        id=new_id("eu", now),
        tenant_n=who.tenant.n,
        external_id=body.external_id,
        name=body.name,
        email=body.email,
        metadata=json_text(body.metadata or {}, "metadata", "metadata"),
    )
    return views.end_user(await app.store.insert_end_user(new, now))


async def get_end_user(app: Services, who: KeyPrincipal, end_user_id: str, *, now: int) -> EndUser:
    """Raises Problem: not_found."""
    return views.end_user(await app.store.get_end_user(who.tenant.n, end_user_id))


async def list_end_users(
    app: Services, who: KeyPrincipal, *, external_id: str | None, limit: int, cursor: str | None, now: int
) -> Page[EndUser]:
    """A page, newest first; `external_id` is an exact look-up. Raises Problem: invalid_request."""
    filters = ("end_users", who.tenant.n, external_id)
    position = Position(app.vault.open_cursor(cursor, filters), limit + 1)
    rows = await app.store.list_end_users(who.tenant.n, external_id, position)
    return page(app, rows, limit, filters, views.end_user)


async def delete_end_user(app: Services, who: KeyPrincipal, end_user_id: str, *, now: int) -> None:
    """Deletes it with its recordings and unbinds its devices by force. Raises Problem: not_found."""
    devices, closed = await app.store.delete_end_user(who.tenant.n, end_user_id, now)
    for device_id in devices:
        app.credentials.forget(device_id)
    app.credentials.forget(end_user_id)
    app.wakeups.changed(end_user_id, *devices, *closed)
    await recordings.sweep_deleted_bytes(app)
