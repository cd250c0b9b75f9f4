"""Commands, as a backend makes, reads, waits for and cancels them."""

from rolltape.domain import lifecycle, views
from rolltape.domain.principal import KeyPrincipal, Speaker
from rolltape.domain.rows import CommandRow
from rolltape.service import grants
from rolltape.service.context import Services
from rolltape.service.paging import page
from rolltape.service.params import canonical_params, request_hash
from rolltape.store.inputs import DeviceFacts, NewCommand, Position
from rolltape.wire.command import Command, CreateCommand
from rolltape.wire.common import Event, Page
from rolltape.wire.ids import new_id
from rolltape.wire.times import ceil_second

LOOK_AGAIN_SECONDS = 10.0
"""Whoever waits looks by itself after so long, should a wake-up have been lost."""


async def create_command(
    app: Services,
    who: KeyPrincipal,
    device_id: str,
    body: CreateCommand,
    *,
    idempotency_key: str | None,
    now: int,
) -> tuple[Command, bool]:
    """The command, and whether an earlier request with the same idempotency key had made it.

    Raises Problem: invalid_request, not_found, idempotency_key_reused, device_not_bound, command_queue_full.
    """
    params = canonical_params(body)
    new = NewCommand(
        id=new_id("cmd", now),
        tenant_n=who.tenant.n,
        device_id=device_id,
        type=body.type,
        params=params,
        expires_at=ceil_second(now + body.ttl_seconds * 1000),
        idempotency_key=idempotency_key,
        request_hash=request_hash(body.type, params, body.ttl_seconds),
    )
    created = await app.store.create_command(new, now)
    if not created.replayed:
        app.wakeups.changed(device_id, *created.closed)
    return await view(app, who, created.command, created.device, now), created.replayed


async def view(app: Services, who: Speaker, row: CommandRow, device: DeviceFacts, now: int) -> Command:
    """The command as this caller may see it."""
    expected = app.store.expected_at(row.device_id) or device.next_contact_at
    return views.command(row, now, grant_token=await grants.shown(app, who, row, device), next_contact_at=expected)


async def get_command(app: Services, who: KeyPrincipal, device_id: str, command_id: str, *, now: int) -> Command:
    """One command. Raises Problem: not_found, also where it is another device's."""
    row = await app.store.get_command(who.tenant.n, device_id, command_id, now)
    return await view(app, who, row, await app.store.device_facts(who.tenant.n, device_id), now)


async def list_commands(
    app: Services,
    who: KeyPrincipal,
    device_id: str,
    *,
    statuses: list[str],
    type_: str | None,
    limit: int,
    cursor: str | None,
    now: int,
) -> Page[Command]:
    """A page of a device's commands, newest first. Raises Problem: not_found, invalid_request."""
    wanted = tuple(sorted(set(statuses)))
    filters = ("commands", who.tenant.n, device_id, wanted, type_)
    position = Position(app.vault.open_cursor(cursor, filters), limit + 1)
    rows = await app.store.list_commands(who.tenant.n, device_id, wanted, type_, position, now)
    device = await app.store.device_facts(who.tenant.n, device_id)
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(
        data=[await view(app, who, row, device, now) for row in rows],
        has_more=more,
        next_cursor=app.vault.make_cursor(rows[-1].n, filters) if more else None,
    )


async def list_history(
    app: Services, who: KeyPrincipal, device_id: str, command_id: str, *, limit: int, cursor: str | None, now: int
) -> Page[Event]:
    """A page of a command's history, oldest first. Raises Problem: not_found, invalid_request."""
    filters = ("history", who.tenant.n, command_id)
    after = app.vault.open_cursor(cursor, filters, first=0)
    rows = await app.store.command_events(who.tenant.n, device_id, command_id, after, limit + 1, now)
    return page(app, rows, limit, filters, views.event)


async def cancel_command(app: Services, who: KeyPrincipal, device_id: str, command_id: str, *, now: int) -> Command:
    """Cancels a pending command. Raises Problem: not_found, command_not_cancellable."""
    device = await app.store.device_facts(who.tenant.n, device_id)
    row = await app.store.cancel_command(who.tenant.n, device_id, command_id, now)
    app.wakeups.changed(row.id)
    return await view(app, who, row, device, now)


async def wait_until_terminal(
    app: Services, who: KeyPrincipal, device_id: str, command_id: str, *, seconds: float
) -> Command:
    """The command once it is terminal, or as it stands after `seconds`: also when its device is deleted meanwhile."""
    until = app.clock.monotonic() + seconds
    with app.wakeups.signal(command_id) as changed:
        while True:
            changed.clear()
            now = app.clock.now_ms()
            row = await app.store.command_of_generation(who.tenant.n, device_id, command_id, None, now)
            if not lifecycle.is_open(row.status):
                return views.command(row, now)
            left = until - app.clock.monotonic()
            if left <= 0 or app.draining:
                return await view(app, who, row, await app.store.device_facts(who.tenant.n, device_id), now)
            until_expiry = max(row.expires_at - now, 0) / 1000 + 0.001
            await app.clock.wait(changed.wait(), min(left, until_expiry, LOOK_AGAIN_SECONDS))
