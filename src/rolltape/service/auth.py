"""From a bearer credential to who is calling."""

from functools import lru_cache

import msgspec
from msgspec.structs import replace

from rolltape.codes import Code, Problem
from rolltape.domain.principal import DevicePrincipal, Direct, KeyPrincipal, Principal, RelayPrincipal, Tenant
from rolltape.domain.rows import BoundRow, TokenRow
from rolltape.service.context import Services
from rolltape.service.credentials import Known, KnownKey, KnownRelay, KnownToken
from rolltape.store.inputs import TOKEN_STORY_MS
from rolltape.wire.ids import fingerprint

MAX_BEARER = 200
_tenant = lru_cache(maxsize=1000)(Tenant)  # one of each for all that is remembered
_KEY_PREFIXES = ("sk_live_", "sk_test_", "rk_live_", "rk_test_")


def _unauthorized(message: str) -> Problem:
    return Problem(Code.UNAUTHORIZED, message)


def revoked() -> Problem:
    """401 for a device whose binding is over."""
    return Problem(
        Code.TOKEN_REVOKED,
        "The binding of this token is over. Finish what is open with ack, report and recordings, then bind anew.",
    )


async def authenticate(app: Services, bearer: str, now: int) -> Principal:
    """Who calls with this credential. Raises Problem: unauthorized, token_revoked."""
    if len(bearer) > MAX_BEARER:
        raise _unauthorized("This is not a credential of this server. Check that it was copied whole.")
    hash_ = fingerprint(bearer)
    at = app.clock.monotonic()
    known = app.credentials.get(hash_, at)
    if known is None:
        known = await _look_up(app, bearer, hash_, at, now)
    if isinstance(known, KnownKey):
        app.credentials.used_keys[known.n] = now
    elif isinstance(known, KnownRelay):
        _use_relay(app, known.who, now)
    return known.who


async def _look_up(app: Services, bearer: str, hash_: bytes, at: float, now: int) -> Known:
    known: Known
    if bearer.startswith(_KEY_PREFIXES):
        known = await _key(app, hash_, at)
    elif bearer.startswith("dtok_"):
        known = KnownToken(await _device(app, hash_, now), at)
    elif bearer.startswith("rtok_"):
        known = KnownRelay(await _relay(app, hash_), at)
    else:
        raise _unauthorized("This is not a credential of this server. Use an API key, a device token or a relay token.")
    app.credentials.keep(hash_, _for_others(known))
    return known


def _for_others(known: Known) -> Known:
    """What later calls may believe: a command may be created between this one and them."""
    if isinstance(known, KnownToken) and known.who.nothing_waits:
        return replace(known, who=replace(known.who, nothing_waits=False))
    return known


async def _key(app: Services, hash_: bytes, at: float) -> KnownKey:
    row = await app.store.key_by_hash(hash_)
    if row is None or row.revoked_at is not None:
        raise _unauthorized("This API key is unknown or was revoked. Make another with: rolltape keys create.")
    tenant = _tenant(row.tenant_n, row.project_id, row.mode)
    return KnownKey(row.n, KeyPrincipal(tenant, row.id, frozenset(msgspec.json.decode(row.scopes))), at)


async def _relay(app: Services, hash_: bytes) -> RelayPrincipal:
    row = await app.store.relay_token_by_hash(hash_)
    if row is None:
        raise relay_over()
    return RelayPrincipal(
        tenant=_tenant(row.tenant_n, row.project_id, row.mode),
        token_n=row.n,
        end_user_id=row.end_user_id,
        device_ids=None if row.device_ids is None else frozenset(msgspec.json.decode(row.device_ids, type=list[str])),
        expires_at=row.expires_at,
    )


def _use_relay(app: Services, who: RelayPrincipal, now: int) -> None:
    if now >= who.expires_at:
        raise relay_over()
    app.credentials.used_relays[who.token_n] = now


def relay_over() -> Problem:
    """401 for a relay token that is none, or no longer."""
    return _unauthorized("This relay token is unknown, was revoked, or its time is over. Ask your backend for another.")


async def _device(app: Services, hash_: bytes, now: int) -> DevicePrincipal:
    row = await app.store.token_by_hash(hash_)
    if row is not None and row.first_used_at is None and row.replaced_at is None:
        await app.store.use_token(row, now)
        app.credentials.forget(row.device_id)
        row = await app.store.token_by_hash(hash_)  # what happened to the binding while this was written counts
    if row is None:
        raise _unauthorized("This device token is unknown. Bind the device to get one.")
    if row.ended_at is not None and now >= row.ended_at + TOKEN_STORY_MS:
        raise revoked()
    if row.replaced_at is not None:
        await app.store.note_token_reuse(row, now)
        raise _unauthorized("This device token was replaced by a newer one. Use that, or bind the device again.")
    return principal_of(row)


async def device_of_token(app: Services, token_hash: bytes) -> DevicePrincipal:
    """The device behind a token that was good a while ago, as its facts are now: a quick look.

    Raises Problem: token_revoked, unauthorized (replaced by a newer one; that is no sign of a copy).
    """
    row = await app.store.token_by_hash(token_hash)
    if row is None or row.ended_at is not None:
        raise revoked()
    if row.replaced_at is not None:
        raise _unauthorized("This device token was replaced by a newer one. Connect with that.")
    return principal_of(row)


def principal_of(row: TokenRow) -> DevicePrincipal:
    """The device behind a token that is good."""
    return DevicePrincipal(
        tenant=_tenant(row.tenant_n, row.project_id, row.mode),
        device_id=row.device_id,
        generation=row.generation,
        token_n=row.n,
        ended=row.ended_at is not None,
        heartbeat_sec=row.heartbeat_sec,
        grant_alg=row.grant_alg,
        held_kids=tuple(msgspec.json.decode(row.held_kids)),
        nothing_waits=row.pending is False,
    )


def principal_of_bound(row: BoundRow) -> DevicePrincipal:
    """The device under its binding, where somebody else has looked at its credential."""
    return DevicePrincipal(
        tenant=_tenant(row.tenant_n, row.project_id, row.mode),
        device_id=row.device_id,
        generation=row.generation,
        token_n=0,
        ended=False,
        heartbeat_sec=row.heartbeat_sec,
        grant_alg=row.grant_alg,
        held_kids=held_of(row),
    )


def held_of(row: BoundRow) -> tuple[str, ...]:
    """The grant keys that the device is known to hold."""
    return tuple(msgspec.json.decode(row.held_kids))


def require_bound(who: Direct) -> None:
    """Raises Problem (`token_revoked`) for a device whose binding is over."""
    if isinstance(who, DevicePrincipal) and who.ended:
        raise revoked()
