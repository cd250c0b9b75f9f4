"""The part of the store that keeps the promises of `store.retention`."""

from rolltape.store.connections import Connections
from rolltape.store.operations import relays, retention


class StoredRetention:
    """Age: see RetentionStore."""

    _at: Connections

    async def age_out_commands(self, until: int, limit: int) -> int:
        return await self._at.write(retention.age_out_commands, until, limit)

    async def age_out_events(self, until: int, limit: int) -> int:
        return await self._at.write(retention.age_out_events, until, limit)

    async def age_out_tokens(self, until: int, limit: int) -> int:
        return await self._at.write(retention.age_out_tokens, until, limit)

    async def prune_relay_tokens(self, now: int, limit: int) -> int:
        return await self._at.write(relays.prune_tokens, now, limit)
