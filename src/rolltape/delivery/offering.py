"""From pending commands to signed offers. The mark and its event are durable before the device hears of them."""

from rolltape.domain import views
from rolltape.domain.principal import DevicePrincipal, Principal
from rolltape.service import grants
from rolltape.service.context import Services
from rolltape.wire.command import Offer, Route
from rolltape.wire.grant import Alg
from rolltape.wire.heartbeat import MAX_OFFERS


def route_of(who: Principal, route: Route) -> Route:
    """A backend that carries offers itself is a relay, whichever call it uses."""
    return route if isinstance(who, DevicePrincipal) else "relay"


async def offers_for(
    app: Services,
    device_id: str,
    generation: int,
    alg: Alg,
    held: tuple[str, ...],
    route: Route,
    now: int,
    *,
    polled_before: int | None = None,
) -> tuple[list[Offer], bool]:
    """At most four offers, and whether more wait. `polled_before`: only what no poll has offered since (ms)."""
    before = now if polled_before is None else polled_before
    rows, more = await app.store.offer(device_id, generation, route, before, MAX_OFFERS, now)
    if rows:
        app.wakeups.changed(*(row.id for row in rows))
    return [views.offer(row, await grants.mint(app, row, alg, held)) for row in rows], more
