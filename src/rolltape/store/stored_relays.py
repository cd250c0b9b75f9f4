"""The part of the store that keeps the promises of `store.relays`."""

from rolltape.domain.rows import CommandRow, ReachedDevice, RelayDeviceRow, RelayTokenRow
from rolltape.store.connections import Connections
from rolltape.store.operations import relays
from rolltape.store.relays import Audience, NewClaim, NewRelayToken


class StoredRelays:
    """Relays: see RelayStore."""

    _at: Connections

    async def insert_relay_token(self, new: NewRelayToken, now: int) -> None:
        await self._at.write(relays.insert_token, new, now)

    async def relay_token_by_hash(self, token_hash: bytes) -> RelayTokenRow | None:
        return await self._at.read(relays.token_by_hash, token_hash)

    async def relay_token_lasts(self, n: int, now: int) -> bool:
        return await self._at.read(relays.token_lasts, n, now)

    async def revoke_relay_tokens(self, tenant_n: int, end_user_id: str) -> None:
        await self._at.write(relays.revoke_all, tenant_n, end_user_id)

    async def touch_relay_tokens(self, used: dict[int, int]) -> None:
        await self._at.write(relays.touch_tokens, used)

    async def relay_devices(self, tenant_n: int, end_user_id: str) -> list[RelayDeviceRow]:
        return await self._at.read(relays.devices, tenant_n, end_user_id)

    async def reached_device(self, tenant_n: int, end_user_id: str, device_id: str, since: int) -> ReachedDevice | None:
        return await self._at.read(relays.reached, tenant_n, end_user_id, device_id, since)

    async def relay_position(self, now: int) -> int:
        await self._at.settle(now)
        return await self._at.read(relays.last_event)

    async def relay_news(self, device_ids: list[str], after: int, upto: int) -> set[str]:
        return await self._at.read(relays.news, device_ids, after, upto)

    async def relay_closed(
        self, audience: Audience, after: int, upto: int, since: int, limit: int
    ) -> list[tuple[int, str]]:
        return await self._at.read(relays.closed, audience, after, upto, since, limit)

    async def claim(
        self, tenant_n: int, device_id: str, command_id: str, generation: int, new: NewClaim, now: int
    ) -> CommandRow:
        await self._at.settle(now)
        return await self._at.write(relays.claim, tenant_n, device_id, command_id, generation, new, now)

    async def count_receipt(self, device_id: str, generation: int, counter: int) -> bool:
        return await self._at.write(relays.count_receipt, device_id, generation, counter)
