"""The PostgreSQL store: hot writes in rounds, the other operations in transactions of their own, on many nodes."""

from rolltape.domain.rows import BoundRow, CommandRow, TokenRow
from rolltape.store.connections import Hear, nobody
from rolltape.store.inputs import Created, DeviceFacts, IncomingReport, NewCommand, Reported
from rolltape.store.operations.moves import not_found
from rolltape.store.postgres.connections import PgConnections, open_pool
from rolltape.store.postgres.flush import flush
from rolltape.store.postgres.looks import QuickLooks
from rolltape.store.postgres.position import Position
from rolltape.store.postgres.rounds import Rounds
from rolltape.store.stored import Stored
from rolltape.wire.command import Evidence, Route

POOL_SIZE = 10


class PgStore(Stored):
    """All of it, on a database whose schema is up to date. See `open`.

    `on_binding_ended` hears of each device whose binding ended through this node, `on_moved` of each of whose commands
    one has moved through it: once it is committed, and before the caller has its answer.
    """

    def __init__(self, at: PgConnections) -> None:
        super().__init__(at, flush)
        self._pg = at
        self._rounds = Rounds(at)
        self._looks = QuickLooks(at)
        self._position = Position(at)

    @classmethod
    async def open(
        cls, url: str, on_binding_ended: Hear = nobody, on_moved: Hear = nobody, size: int = POOL_SIZE
    ) -> "PgStore":
        """A store over a pool of connections. Raises OSError, asyncpg.PostgresError, ValueError."""
        return cls(PgConnections(await open_pool(url, size), on_binding_ended, on_moved))

    async def create_command(self, new: NewCommand, now: int) -> Created:
        await self._at.settle(now)
        created: Created = await self._rounds.ask("create", new, now)
        self._pg.outlook.created(created.command.expires_at)
        return created

    async def acknowledge(
        self,
        tenant_n: int,
        device_id: str,
        command_id: str,
        generation: int | None,
        evidence: Evidence,
        route: Route | None,
        now: int,
    ) -> CommandRow:
        await self._at.settle(now)
        facts = (tenant_n, device_id, command_id, generation, evidence, route, now)
        row: CommandRow = await self._rounds.ask("acknowledge", *facts)
        return row

    async def report(
        self,
        tenant_n: int,
        device_id: str,
        command_id: str,
        generation: int | None,
        incoming: IncomingReport,
        now: int,
    ) -> Reported:
        await self._states.flush()
        await self._at.settle(now)
        facts = (tenant_n, device_id, command_id, generation, incoming, now)
        reported: Reported = await self._rounds.ask("report", *facts)
        return reported

    async def offer(
        self,
        device_id: str,
        generation: int,
        route: Route,
        quiet_since: int | None,
        limit: int,
        now: int,
        but: tuple[str, ...] = (),
        grants_until: int | None = None,
        only_urgent: bool = False,
    ) -> tuple[list[CommandRow], bool]:
        await self._at.settle(now)
        facts = (device_id, generation, route, quiet_since, limit, now, but, grants_until, only_urgent)
        offered: tuple[list[CommandRow], bool] = await self._rounds.ask("offer", *facts)
        return offered

    async def token_by_hash(self, token_hash: bytes) -> TokenRow | None:
        return await self._looks.tokens.get(token_hash)

    async def bound_device(self, device_id: str) -> BoundRow | None:
        return await self._looks.bindings.get(device_id)

    async def anything_pending(self, device_id: str) -> bool:
        return await self._looks.pending.get(device_id) is not None

    async def is_bound(self, device_id: str, generation: int) -> bool:
        return await self._looks.bound.get(device_id) == generation

    async def device_facts(self, tenant_n: int, device_id: str) -> DeviceFacts:
        found = await self._looks.facts.get(device_id)
        if found is None or found[0] != tenant_n:
            raise not_found("device")
        return found[1]

    async def relay_position(self, now: int) -> int:
        await self._at.settle(now)
        return await self._position.now()

    async def close(self) -> None:
        await self._rounds.drain()
        await super().close()
