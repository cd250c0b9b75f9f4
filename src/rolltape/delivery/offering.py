"""From pending commands to signed offers. The mark and its event are durable before the device hears of them."""

from rolltape.domain import views
from rolltape.service import grants
from rolltape.service.context import Services
from rolltape.wire.command import Offer, Route
from rolltape.wire.heartbeat import MAX_OFFERS
from rolltape.wire.keys import Alg


async def offers_for(
    app: Services,
    device_id: str,
    generation: int,
    alg: Alg,
    held: tuple[str, ...],
    route: Route,
    now: int,
    *,
    quiet_since: int | None = None,
    but: tuple[str, ...] = (),
    limit: int = MAX_OFFERS,
    only_urgent: bool = False,
) -> tuple[list[Offer], bool]:
    """At most four offers, and whether more wait. `quiet_since`: only what this route has not offered since (ms).

    `but`: the ids of those that are left out. `only_urgent`: resets and stops alone.
    """
    rows, more = await app.store.offer(
        device_id, generation, route, quiet_since, limit, now, but, only_urgent=only_urgent
    )
    if rows:
        app.wakeups.changed(*(row.id for row in rows))
    return [views.offer(row, await grants.mint(app, row, alg, held)) for row in rows], more
