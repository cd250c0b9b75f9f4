"""The relay route as Server-Sent Events: the same news, told as they come, on one answer that goes on."""

from collections.abc import AsyncGenerator

import msgspec

from rolltape.delivery.relay import (
    LOOK_AGAIN_SECONDS,
    Mark,
    News,
    lasts,
    look,
    make_cursor,
    seconds_until_full,
    topics_of,
)
from rolltape.domain.principal import RelayPrincipal
from rolltape.service.context import Services
from rolltape.wire.relay import RelayRevoked

KEEP_ALIVE_SECONDS = 15.0
BEGIN = b"retry: 2000\n\n"
COMMENT = b":\n\n"
_encode = msgspec.json.Encoder().encode


async def events(app: Services, who: RelayPrincipal, mark: Mark | None) -> AsyncGenerator[bytes, None]:
    """The stream, piece by piece: what waits, then a comment, then each batch of news; a comment when it is quiet.

    It ends when the server drains, and when the token does. The last event of a batch has the cursor as its id, so that
    a batch that was cut off comes again as a whole.
    """
    yield BEGIN
    spoke_at = app.clock.monotonic() - KEEP_ALIVE_SECONDS
    while not app.draining and await lasts(app, who, app.clock.now_ms()):
        with app.wakeups.signal(*await topics_of(app, who)) as changed:
            now = app.clock.now_ms()
            news = await look(app, who, mark, now)
            mark = news.mark
            if news:
                yield as_events(news, make_cursor(app, who, mark))
            quiet = app.clock.monotonic() - spoke_at
            if quiet >= KEEP_ALIVE_SECONDS:
                yield COMMENT
            if news or quiet >= KEEP_ALIVE_SECONDS:
                spoke_at = app.clock.monotonic()
            until_over = (who.expires_at - now) / 1000 + 0.001
            await app.clock.wait(
                changed.wait(),
                min(
                    LOOK_AGAIN_SECONDS,
                    KEEP_ALIVE_SECONDS - quiet % KEEP_ALIVE_SECONDS,
                    until_over,
                    seconds_until_full(app, mark, now),
                ),
            )


def as_events(news: News, cursor: str) -> bytes:
    """A batch: revocations first, so that a relay drops before it takes."""
    parts = [b"event: revoke\ndata: " + _encode(RelayRevoked(id=id_)) for id_ in news.revoked]
    parts += [b"event: offer\ndata: " + _encode(offer) for offer in news.offers]
    parts[-1] += b"\nid: " + cursor.encode("ascii")
    return b"\n\n".join(parts) + b"\n\n"
