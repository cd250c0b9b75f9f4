"""The relay route: what waits for an end user's devices, what is to be carried no more, and where to go on from.

A cursor is a sealed pair: the number of the last event that was looked at, and when all that waits was last told. After
a third of the time for which a relay's grants last, all of it is told again with fresh ones.
"""

import asyncio
from dataclasses import dataclass

from rolltape.codes import Code, Problem
from rolltape.domain import views
from rolltape.domain.principal import RelayPrincipal
from rolltape.domain.rows import RelayDeviceRow
from rolltape.service import grants
from rolltape.service.context import Services
from rolltape.store.inputs import TOKEN_STORY_MS
from rolltape.store.relays import Audience
from rolltape.wire.heartbeat import MAX_OFFERS
from rolltape.wire.relay import RelayCommands, RelayOffer
from rolltape.wire.times import iso

LOOK_AGAIN_SECONDS = 10.0
MAX_REVOKED = 500
"""The most revocations in one answer; the cursor then stays behind, and the rest follows at once."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a relay has heard: up to which event, and when (ms) it was last told all that waits."""

    event: int
    full_at: int


@dataclass(frozen=True, slots=True)
class News:
    """What a relay is told, and its mark after that."""

    offers: list[RelayOffer]
    revoked: list[str]
    mark: Mark

    def __bool__(self) -> bool:
        return bool(self.offers or self.revoked)


def _filters(who: RelayPrincipal) -> tuple[object, ...]:
    """A cursor goes on with any token for the same end user and devices."""
    named = None if who.device_ids is None else sorted(who.device_ids)
    return ("relay", who.tenant.n, who.end_user_id, named)


def make_cursor(app: Services, who: RelayPrincipal, mark: Mark) -> str:
    """The mark, sealed."""
    return app.vault.make_mark((mark.event, mark.full_at), _filters(who))


def open_cursor(app: Services, who: RelayPrincipal, cursor: str | None, param: str) -> Mark | None:
    """The mark in a cursor. Raises Problem: invalid_request, naming `param`."""
    if cursor is None:
        return None
    numbers = app.vault.open_mark(cursor, 2, _filters(who))
    if numbers is None:
        raise Problem(
            Code.INVALID_REQUEST,
            f"{param} is not a cursor of this relay's. Send one as it was given, or none to be told everything.",
            param=param,
        )
    return Mark(*numbers)


async def lasts(app: Services, who: RelayPrincipal, now: int) -> bool:
    """Whether the relay may still be told anything."""
    return now < who.expires_at and await app.store.relay_token_lasts(who.token_n, now)


async def devices_of(app: Services, who: RelayPrincipal) -> list[RelayDeviceRow]:
    """The devices that it serves at this moment."""
    rows = await app.store.relay_devices(who.tenant.n, who.end_user_id)
    return [row for row in rows if who.device_ids is None or row.id in who.device_ids]


async def topics_of(app: Services, who: RelayPrincipal) -> list[str]:
    """What to listen to: each of its devices, and the end user, whose devices change."""
    return [who.end_user_id, *(row.id for row in await devices_of(app, who))]


def refresh_ms(app: Services) -> int:
    """After how long everything is told again."""
    return app.config.relay_grant_seconds * 1000 // 3


async def look(app: Services, who: RelayPrincipal, mark: Mark | None, now: int) -> News:
    """What is new since `mark`; everything that waits where there is none, or where it is time for fresh grants."""
    upto = await app.store.relay_position(now)  # before anything else: what comes later is seen the next time
    devices = await devices_of(app, who)
    full = mark is None or not mark.full_at <= now < mark.full_at + refresh_ms(app)
    revoked: list[str] = []
    if mark is not None:
        revoked, upto = await _closed(app, who, mark.event, upto, now)
    news = {row.id for row in devices} if full or mark is None else await _news(app, devices, mark.event, upto)
    chosen = [row for row in devices if full or (row.commands_wait and row.id in news)]
    found = await asyncio.gather(*(_offers(app, row, now) for row in chosen))
    full_at = now if full or mark is None else mark.full_at
    return News([offer for offers in found for offer in offers], revoked, Mark(upto, full_at))


async def _news(app: Services, devices: list[RelayDeviceRow], after: int, upto: int) -> set[str]:
    return await app.store.relay_news([row.id for row in devices], after, upto) if upto > after else set()


async def _closed(app: Services, who: RelayPrincipal, after: int, upto: int, now: int) -> tuple[list[str], int]:
    """The commands that were closed, and up to which event that is all of them."""
    if upto <= after:
        return [], max(after, upto)
    named = None if who.device_ids is None else views.to_json(sorted(who.device_ids))
    audience = Audience(who.end_user_id, named)
    found = await app.store.relay_closed(audience, after, upto, now - TOKEN_STORY_MS, MAX_REVOKED + 1)
    if len(found) > MAX_REVOKED:
        found = found[:MAX_REVOKED]
        upto = found[-1][0]
    return [command_id for _, command_id in found], upto


async def _offers(app: Services, device: RelayDeviceRow, now: int) -> list[RelayOffer]:
    until = (now // 1000 + app.config.relay_grant_seconds) * 1000
    rows, _ = await app.store.offer(device.id, device.generation, "relay", None, MAX_OFFERS, now, grants_until=until)
    if not rows:
        return []
    app.wakeups.changed(*(row.id for row in rows))
    held = tuple(views.from_json(device.held_kids))
    signer = await grants.signer_of(app, device.id, device.generation, device.grant_alg, held)
    return [views.relay_offer(row, *grants.mint_for_relay(app, row, signer, until)) for row in rows]


def seconds_until_full(app: Services, mark: Mark, now: int) -> float:
    """How long until everything is to be told again."""
    return max(mark.full_at + refresh_ms(app) - now, 0) / 1000 + 0.001


async def commands(app: Services, who: RelayPrincipal, *, wait: float, cursor: str | None) -> RelayCommands:
    """What there is, now or within `wait` seconds. Raises Problem: invalid_request."""
    mark = open_cursor(app, who, cursor, "cursor")
    until = app.clock.monotonic() + wait
    while True:
        with app.wakeups.signal(*await topics_of(app, who)) as changed:
            now = app.clock.now_ms()
            news = await look(app, who, mark, now)
            mark = news.mark
            left = until - app.clock.monotonic()
            if news or left <= 0 or app.draining or not await lasts(app, who, now):
                return _answer(app, who, news)
            await app.clock.wait(changed.wait(), min(left, LOOK_AGAIN_SECONDS, seconds_until_full(app, mark, now)))
            if not await lasts(app, who, app.clock.now_ms()):
                return _answer(app, who, News([], [], mark))


async def nothing(app: Services, who: RelayPrincipal, cursor: str | None) -> RelayCommands:
    """The answer to a poll whose wait was cut short: it goes on from where it was."""
    mark = open_cursor(app, who, cursor, "cursor")
    if mark is None:
        mark = Mark(await app.store.relay_position(app.clock.now_ms()), 0)
    return _answer(app, who, News([], [], mark))


def _answer(app: Services, who: RelayPrincipal, news: News) -> RelayCommands:
    return RelayCommands(
        commands=news.offers,
        revoked=news.revoked,
        cursor=make_cursor(app, who, news.mark),
        server_time=iso(app.clock.now_ms()),
    )
