"""Expires commands when their time comes, whether or not anyone looks."""

from rolltape.service.context import Services


class Expiry:
    """Looks often enough that no command is open half a second past its time. A look is one index entry."""

    name = "expiry"
    every_seconds = 0.25

    async def run_once(self, app: Services, now: int) -> int:
        """Expires all that is due, and wakes those who wait for it."""
        done = 0
        while expired := await app.store.expire_due(now):
            app.wakeups.changed(*expired)
            done += len(expired)
        return done
