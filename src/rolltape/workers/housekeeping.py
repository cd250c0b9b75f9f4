"""What keeps the house small: bytes of deleted recordings and late ones, news of keys. What ages: `retention`."""

from rolltape.service import keys, recordings
from rolltape.service.context import Services


class Keys:
    """Takes grant keys that the operator has made, and notes when API keys were last used."""

    name = "keys"
    every_seconds = 1.0

    async def run_once(self, app: Services, now: int) -> int:
        """One look at a table of a few rows."""
        app.vault.load_signing_keys(await app.store.signing_keys())
        await keys.note_use(app)
        return 0


class Sweep:
    """Lets go of what is no longer needed."""

    name = "sweep"
    every_seconds = 60.0

    async def run_once(self, app: Services, now: int) -> int:
        """Deletes bytes whose recording is gone."""
        done = 0
        while swept := await recordings.sweep_deleted_bytes(app):
            done += swept
        return done


class Leftovers:
    """Lets go of bytes that came when all was over. Each look lists objects, which stores charge for."""

    name = "leftovers"
    every_seconds = 3600.0

    async def run_once(self, app: Services, now: int) -> int:
        """Sweeps the blob store."""
        return await recordings.sweep_late_bytes(app, now)
