"""Bindings: giving a device to an end user, taking it back, resetting it, and its tokens."""

import secrets

import msgspec

from rolltape.domain import views
from rolltape.domain.principal import DevicePrincipal, KeyPrincipal
from rolltape.service import commands, grants, presence
from rolltape.service.auth import require_bound
from rolltape.service.context import Services
from rolltape.service.params import request_hash
from rolltape.store.inputs import NewCommand
from rolltape.wire.command import RESET_TTL_SECONDS, Command
from rolltape.wire.device import BindDevice, BoundDevice, Device, DeviceToken
from rolltape.wire.ids import fingerprint, new_id, new_secret
from rolltape.wire.keys import b64url
from rolltape.wire.times import ceil_second

SECRET_BYTES = 32


async def bind_device(app: Services, who: KeyPrincipal, device_id: str, body: BindDevice, *, now: int) -> BoundDevice:
    """Binds, or gives the device that is bound to this user a fresh token.

    Raises Problem: not_found, device_already_bound.
    """
    token = new_secret("dtok_")
    fresh = app.vault.seal(secrets.token_bytes(SECRET_BYTES), grants.secret_label(device_id))
    row, sealed = await app.store.bind_device(
        who.tenant.n,
        device_id,
        body.end_user_id,
        msgspec.json.encode(app.vault.kids()).decode(),
        fresh,
        fingerprint(token),
        None if body.pk_d is None else body.pk_d.lower(),
        now,
    )
    app.credentials.forget(device_id)
    await app.doors.admit(who.tenant.project_id, device_id, row.generation, token)
    app.wakeups.changed(device_id, body.end_user_id)
    fields = {**views.device_fields(row, now), "device_token": token, "grant_iss": app.vault.iss}
    if sealed is None:
        return BoundDevice(**fields, grant_keys=app.vault.grant_keys())
    secret = app.vault.open(sealed, grants.secret_label(device_id))
    return BoundDevice(**fields, grant_kid=grants.hmac_kid(row.generation), grant_secret=b64url(secret))


async def unbind_device(app: Services, who: KeyPrincipal, device_id: str, *, force: bool, now: int) -> Device:
    """Unbinds; a no-op when it isn't bound. Raises Problem: not_found, device_recording."""
    ended = await app.store.unbind_device(who.tenant.n, device_id, force, now)
    app.credentials.forget(device_id)
    app.wakeups.changed(device_id, *ended.closed)
    return views.device(ended.device, now)


async def reset_device(
    app: Services, who: KeyPrincipal, device_id: str, *, force: bool, now: int
) -> tuple[Command | Device, bool]:
    """The reset command and whether it is new; forced, the device, unbound at once.

    Raises Problem: not_found, device_not_bound.
    """
    if force:
        device = await app.store.get_device(who.tenant.n, device_id)
        if device.end_user_id is not None:
            return await unbind_device(app, who, device_id, force=True, now=now), False
    new = NewCommand(
        id=new_id("cmd", now),
        tenant_n=who.tenant.n,
        device_id=device_id,
        type="factory_reset",
        params="{}",
        expires_at=ceil_second(now + RESET_TTL_SECONDS * 1000),
        idempotency_key=None,
        request_hash=request_hash("factory_reset", "{}", RESET_TTL_SECONDS),
    )
    row, created, closed = await app.store.reset_device(new, now)
    app.wakeups.changed(device_id, *closed)
    facts = await app.store.device_facts(who.tenant.n, device_id)
    return await commands.view(app, who, row, facts, now), created


async def refresh_token(app: Services, who: DevicePrincipal, *, now: int) -> DeviceToken:
    """A further token; the one that asks works until the new one is first used. Raises Problem: token_revoked."""
    require_bound(who)
    presence.touch(app, who, now)
    token = new_secret("dtok_")
    await app.store.add_token(who.tenant.n, who.device_id, who.generation, fingerprint(token), now)
    await app.doors.admit(who.tenant.project_id, who.device_id, who.generation, token)
    return DeviceToken(device_token=token)
