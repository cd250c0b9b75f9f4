"""Relay tokens: what a backend gives a phone or a gateway so that it may carry for one end user's devices."""

import msgspec

from rolltape.domain.principal import KeyPrincipal
from rolltape.service.context import Services
from rolltape.store.relays import NewRelayToken
from rolltape.wire.ids import fingerprint, new_secret
from rolltape.wire.relay import CreateRelayToken, RelayToken
from rolltape.wire.times import iso


async def create_relay_token(app: Services, who: KeyPrincipal, body: CreateRelayToken, *, now: int) -> RelayToken:
    """A new token, shown this once. Raises Problem: not_found, naming the end user or the devices."""
    token = new_secret("rtok_")
    named = None if body.device_ids is None else sorted(set(body.device_ids))
    new = NewRelayToken(
        tenant_n=who.tenant.n,
        end_user_id=body.end_user_id,
        device_ids=None if named is None else msgspec.json.encode(named).decode(),
        hash=fingerprint(token),
        expires_at=now + body.ttl_seconds * 1000,
    )
    await app.store.insert_relay_token(new, now)
    return RelayToken(relay_token=token, expires_at=iso(new.expires_at))


async def revoke_relay_tokens(app: Services, who: KeyPrincipal, end_user_id: str) -> None:
    """Ends all relay tokens of an end user, and what they have open. Raises Problem: not_found."""
    await app.store.revoke_relay_tokens(who.tenant.n, end_user_id)
    app.credentials.forget(end_user_id)
    app.wakeups.changed(end_user_id)
