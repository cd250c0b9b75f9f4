"""Lets go of what has aged, a little at a time, and gives way to all other work in between."""

from collections.abc import Awaitable, Callable

from rolltape.service.context import Services

COMMANDS, EVENTS, TOKENS = 25, 100, 100
"""How many go in one transaction: a few milliseconds' work. A command goes with its whole history."""
REST = 3
"""After each batch, a rest so many times as long as it took: at most a quarter of the time goes into this."""


class Retention:
    """What is older than `ROLLTAPE_RETENTION_DAYS` goes. Two nodes take different ones, and each goes once."""

    name = "retention"
    every_seconds = 10.0

    async def run_once(self, app: Services, now: int) -> int:
        """Deletes all that has aged by `now`, and relay tokens whose time is over; how many rows (a command is one)."""
        done = await _all(app, lambda: app.store.prune_relay_tokens(now, TOKENS))
        if (until := app.config.aged_before(now)) is None:
            return done
        done += await _all(app, lambda: app.store.age_out_commands(until, COMMANDS))
        done += await _all(app, lambda: app.store.age_out_events(until, EVENTS))
        return done + await _all(app, lambda: app.store.age_out_tokens(until, TOKENS))


async def _all(app: Services, batch: Callable[[], Awaitable[int]]) -> int:
    done = 0
    while True:
        began = app.clock.monotonic()
        gone = await batch()
        if not gone:
            return done
        done += gone
        await app.clock.sleep(REST * (app.clock.monotonic() - began))
