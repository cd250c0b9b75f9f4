"""The long-poll route: the answer is held until something waits. With `wait` it comes back only for what no poll has
offered in the last ten seconds, so that a device which ignores an offer can't make it spin."""

from rolltape.delivery.offering import offers_for
from rolltape.domain.principal import DevicePrincipal, Direct
from rolltape.service import presence
from rolltape.service.auth import require_bound
from rolltape.service.context import Services
from rolltape.service.grants import held_kids
from rolltape.service.reports import route_of
from rolltape.wire.command import Offer, Pending
from rolltape.wire.keys import Alg
from rolltape.wire.times import iso

QUIET_MS = 10_000
LOOK_AGAIN_SECONDS = 10.0


async def pending(app: Services, who: Direct, device_id: str, *, wait: float) -> Pending:
    """What waits for the device, now or within `wait` seconds. Raises Problem: token_revoked, not_found."""
    require_bound(who)
    until = app.clock.monotonic() + wait
    with app.wakeups.signal(device_id) as changed:
        while True:
            changed.clear()
            now = app.clock.now_ms()
            presence.touch(app, who, now)
            offers, more = await _look(app, who, device_id, now, quiet=wait > 0)
            left = until - app.clock.monotonic()
            if offers or left <= 0 or app.draining or await _is_over(app, who):
                return Pending(commands=offers, more=more, server_time=iso(app.clock.now_ms()))
            await app.clock.wait(changed.wait(), min(left, LOOK_AGAIN_SECONDS))


async def _look(app: Services, who: Direct, device_id: str, now: int, *, quiet: bool) -> tuple[list[Offer], bool]:
    generation, alg, held = await _facts(app, who, device_id)
    if not await app.store.anything_pending(device_id):
        return [], False
    quiet_since = now - QUIET_MS if quiet else None
    route = route_of(who, "poll")
    return await offers_for(app, device_id, generation, alg, held, route, now, quiet_since=quiet_since)


async def _facts(app: Services, who: Direct, device_id: str) -> tuple[int, Alg, tuple[str, ...]]:
    """As they are now: a heartbeat may change, while a poll waits, which keys the device is known to hold."""
    if isinstance(who, DevicePrincipal) and await _is_over(app, who):
        return who.generation, who.grant_alg, who.held_kids
    device = await app.store.device_facts(who.tenant.n, device_id)
    generation = who.generation if isinstance(who, DevicePrincipal) else device.generation
    return generation, device.grant_alg, held_kids(device)


async def _is_over(app: Services, who: Direct) -> bool:
    """Whether the binding ended while the device waited: it should hear so with its next call."""
    return isinstance(who, DevicePrincipal) and not await app.store.is_bound(who.device_id, who.generation)
