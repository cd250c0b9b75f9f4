"""Writes in batches what devices said, and tells of those that went silent."""

from rolltape.service.context import Services

OFFLINE_BATCH = 500


class States:
    """A heartbeat is in memory for at most this long before it is on the disk."""

    name = "states"
    every_seconds = 2.0

    async def run_once(self, app: Services, now: int) -> int:
        """Writes what is in memory."""
        await app.store.flush_states()
        return 0


class Offline:
    """A device that has been silent too long is offline: one event."""

    name = "offline"
    every_seconds = 5.0

    async def run_once(self, app: Services, now: int) -> int:
        """Tells of all that are gone."""
        done = 0
        while gone := await app.store.mark_offline(now, OFFLINE_BATCH):
            done += gone
        return done
