"""API keys over HTTP: a key can make others, never more than it has itself."""

import msgspec

from rolltape.codes import SCOPES, Code, Problem, Scope
from rolltape.domain import views
from rolltape.domain.principal import KeyPrincipal
from rolltape.service.context import Services
from rolltape.service.paging import page
from rolltape.store import inputs
from rolltape.store.inputs import Position
from rolltape.wire.account import CreateKey, Key, NewKey
from rolltape.wire.common import Page
from rolltape.wire.ids import fingerprint, new_id, new_secret


def secret_for(scopes: tuple[Scope, ...], mode: str) -> str:
    """A new key's secret: `sk_…` with all scopes, `rk_…` with chosen ones."""
    kind = "sk" if set(scopes) == set(SCOPES) else "rk"
    return new_secret(f"{kind}_{mode}_")


def in_order(scopes: set[str] | frozenset[str]) -> tuple[Scope, ...]:
    """Scopes in the order in which they are listed."""
    return tuple(scope for scope in SCOPES if scope in scopes)


async def create_key(app: Services, who: KeyPrincipal, body: CreateKey, *, now: int) -> NewKey:
    """A new key, whose secret is shown this once. Raises Problem: forbidden for more than the caller has."""
    if body.mode not in (None, who.tenant.mode):
        raise Problem(
            Code.FORBIDDEN,
            f"A {who.tenant.mode} key can only make {who.tenant.mode} keys. Use a {body.mode} key for that.",
            param="mode",
        )
    wanted = set(body.scopes) if body.scopes is not None else who.scopes
    missing = in_order(frozenset(wanted) - who.scopes)
    if missing:
        raise Problem(
            Code.FORBIDDEN,
            f"This key can't give what it doesn't have: {', '.join(missing)}.",
            param="scopes",
            details={"missing": list(missing)},
        )
    scopes = in_order(frozenset(wanted))
    secret = secret_for(scopes, who.tenant.mode)
    new = inputs.NewKey(
        id=new_id("key", now),
        tenant_n=who.tenant.n,
        hash=fingerprint(secret),
        name=body.name,
        scopes=msgspec.json.encode(scopes).decode(),
    )
    made = views.key(await app.store.insert_key(new, now))
    return NewKey(**msgspec.structs.asdict(made), key=secret)


async def list_keys(app: Services, who: KeyPrincipal, *, limit: int, cursor: str | None, now: int) -> Page[Key]:
    """The keys of this project and mode, newest first, without secrets. Raises Problem: invalid_request."""
    filters = ("keys", who.tenant.n)
    await note_use(app)
    rows = await app.store.list_keys(who.tenant.n, Position(app.vault.open_cursor(cursor, filters), limit + 1))
    return page(app, rows, limit, filters, views.key)


async def note_use(app: Services) -> None:
    """Writes when keys and relay tokens were last used."""
    used, app.credentials.used_keys = app.credentials.used_keys, {}
    if used:
        await app.store.touch_keys(used)
    relays, app.credentials.used_relays = app.credentials.used_relays, {}
    if relays:
        await app.store.touch_relay_tokens(relays)


async def revoke_key(app: Services, who: KeyPrincipal, key_id: str, *, now: int) -> None:
    """Ends a key for good. Raises Problem: not_found."""
    await app.store.revoke_key(who.tenant.n, key_id, now)
    app.credentials.forget(key_id)
