"""A store: the promises of store/base.py, each kept by one operation, on whichever database there is."""

from rolltape.codes import Mode
from rolltape.domain.rows import BoundRow, CommandRow, DeviceRow, EndUserRow, EventRow, KeyRow, SigningKeyRow, TokenRow
from rolltape.store.connections import Connections
from rolltape.store.database import Db
from rolltape.store.inputs import (
    ChangeDevice,
    Closed,
    Created,
    DeviceFacts,
    DeviceFilter,
    IncomingReport,
    NewCommand,
    NewDevice,
    NewEndUser,
    NewKey,
    Position,
    Reported,
    StateDelta,
)
from rolltape.store.operations import (
    accounts,
    bindings,
    commands,
    devices,
    end_users,
    events,
    expiry,
    moves,
    offers,
    reports,
    states,
)
from rolltape.store.pending_states import PendingStates, Write
from rolltape.store.stored_recordings import StoredRecordings
from rolltape.store.stored_relays import StoredRelays
from rolltape.store.stored_retention import StoredRetention
from rolltape.wire.command import Evidence, Route, Status


class StoredCommands:
    """Commands: see CommandStore."""

    _at: Connections
    _states: PendingStates

    async def create_command(self, new: NewCommand, now: int) -> Created:
        await self._at.settle(now)
        return await self._at.write(commands.create, new, now)

    async def device_facts(self, tenant_n: int, device_id: str) -> DeviceFacts:
        return await self._at.read(commands.device_facts, tenant_n, device_id)

    async def is_bound(self, device_id: str, generation: int) -> bool:
        return await self._at.read(bindings.lasts, device_id, generation)

    async def get_command(self, tenant_n: int, device_id: str, command_id: str, now: int) -> CommandRow:
        await self._at.settle(now)
        return await self._at.read(_command, tenant_n, device_id, command_id)

    async def command_of_generation(
        self, tenant_n: int, device_id: str, command_id: str, generation: int | None, now: int
    ) -> CommandRow:
        await self._at.settle(now)
        return await self._at.read(reports.mine, tenant_n, device_id, command_id, generation)

    async def list_commands(
        self, tenant_n: int, device_id: str, statuses: tuple[str, ...], type_: str | None, position: Position, now: int
    ) -> list[CommandRow]:
        await self._at.settle(now)
        if not await self._at.read(devices.exists, tenant_n, device_id):
            raise moves.not_found("device")
        # Of a type that is rare it reads all that the device ever had.
        read = self._at.read if type_ is None else self._at.read_beside
        return await read(commands.list_page, device_id, statuses, type_, position)

    async def command_events(
        self, tenant_n: int, device_id: str, command_id: str, after: int, limit: int, now: int
    ) -> list[EventRow]:
        await self.command_of_generation(tenant_n, device_id, command_id, None, now)
        return await self._at.read(events.of_command, tenant_n, command_id, after, limit)

    async def cancel_command(self, tenant_n: int, device_id: str, command_id: str, now: int) -> CommandRow:
        await self._at.settle(now)
        return await self._at.write(commands.cancel, tenant_n, device_id, command_id, now)

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
        return await self._at.write(
            reports.acknowledge, tenant_n, device_id, command_id, generation, evidence, route, now
        )

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
        return await self._at.write(reports.report, tenant_n, device_id, command_id, generation, incoming, now)

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
        return await self._at.write(
            offers.offer, device_id, generation, route, quiet_since, limit, now, but, grants_until, only_urgent
        )

    async def statuses(self, device_id: str, generation: int, ids: tuple[str, ...]) -> dict[str, Status]:
        return await self._at.read(offers.statuses, device_id, generation, ids)

    async def anything_pending(self, device_id: str) -> bool:
        return await self._at.read(offers.any_pending, device_id)

    async def raise_seq_floor(self, device_id: str) -> int:
        return await self._at.write(offers.raise_seq_floor, device_id)

    async def expire_due(self, now: int) -> list[str]:
        if not await self._at.read(expiry.any_due, now):
            return []
        return await self._at.write(expiry.expire_batch, now)

    async def next_due(self) -> int | None:
        return await self._at.read(expiry.next_due)


class StoredDevices:
    """Devices, bindings, tokens: see DeviceStore. Reads come after what devices said is written."""

    _at: Connections
    _states: PendingStates

    async def _settled(self, now: int) -> None:
        """All that was said is written, and all that is due has expired: what follows sees the truth of `now`."""
        await self._states.flush()
        await self._at.settle(now)

    async def register_device(self, new: NewDevice, now: int) -> tuple[DeviceRow, bool]:
        await self._states.flush()
        return await self._at.write(devices.register, new, now)

    async def get_device(self, tenant_n: int, device_id: str) -> DeviceRow:
        await self._states.flush()
        return await self._at.read(devices.get, tenant_n, device_id)

    async def list_devices(self, tenant_n: int, by: DeviceFilter, position: Position, now: int) -> list[DeviceRow]:
        await self._states.flush()
        return await self._at.read_beside(devices.list_page, tenant_n, by, position, now)

    async def update_device(self, tenant_n: int, device_id: str, change: ChangeDevice, now: int) -> DeviceRow:
        await self._states.flush()
        return await self._at.write(devices.update, tenant_n, device_id, change, now)

    async def delete_device(self, tenant_n: int, device_id: str, force: bool, now: int) -> tuple[str, ...]:
        await self._settled(now)
        return await self._at.write(bindings.delete, tenant_n, device_id, force, now)

    async def device_counts(self, tenant_n: int, now: int) -> tuple[int, ...]:
        await self._settled(now)
        return await self._at.read_beside(devices.stats, tenant_n, now)

    async def bind_device(
        self,
        tenant_n: int,
        device_id: str,
        end_user_id: str,
        kids: str,
        secret_sealed: bytes,
        token_hash: bytes,
        pk_d: str | None,
        now: int,
    ) -> tuple[DeviceRow, bytes | None]:
        await self._settled(now)
        return await self._at.write(
            bindings.bind, tenant_n, device_id, end_user_id, kids, secret_sealed, token_hash, pk_d, now
        )

    async def unbind_device(self, tenant_n: int, device_id: str, force: bool, now: int) -> Closed:
        await self._settled(now)
        return await self._at.write(bindings.unbind, tenant_n, device_id, force, now)

    async def reset_device(self, new: NewCommand, now: int) -> tuple[CommandRow, bool, tuple[str, ...]]:
        await self._settled(now)
        return await self._at.write(bindings.reset, new, now)

    async def add_token(self, tenant_n: int, device_id: str, generation: int, token_hash: bytes, now: int) -> None:
        await self._at.write(bindings.add_token, tenant_n, device_id, generation, token_hash, now)

    async def token_by_hash(self, token_hash: bytes) -> TokenRow | None:
        return await self._at.read(bindings.token_by_hash, token_hash)

    async def bound_device(self, device_id: str) -> BoundRow | None:
        return await self._at.read(bindings.bound, device_id)

    async def use_token(self, token: TokenRow, now: int) -> None:
        await self._at.write(bindings.use_token, token, now)

    async def note_token_reuse(self, token: TokenRow, now: int) -> None:
        await self._at.write(bindings.note_reuse, token, now)

    async def hold_kids(self, device_id: str, kids: str) -> None:
        await self._at.write(bindings.hold_kids, device_id, kids)

    async def sealed_secret(self, device_id: str, generation: int) -> bytes | None:
        return await self._at.read(bindings.secret_of, device_id, generation)

    def note_state(self, device_id: str, delta: StateDelta) -> None:
        self._states.note(device_id, delta)

    def expected_at(self, device_id: str) -> int | None:
        return self._states.expected_at(device_id)

    async def flush_states(self) -> None:
        await self._states.flush()

    async def mark_offline(self, now: int, limit: int) -> int:
        await self._states.flush()
        told, heard = await self._at.write(states.sweep, now, limit)
        while heard and not told:
            told, heard = await self._at.write(states.sweep, now, limit)
        return told


class StoredAccounts:
    """Projects, keys, end users: see AccountStore."""

    _at: Connections
    _states: PendingStates

    async def tenant_n(self, project_id: str, mode: Mode) -> int:
        return await self._at.read(accounts.tenant_n, project_id, mode)

    async def insert_key(self, new: NewKey, now: int) -> KeyRow:
        return await self._at.write(accounts.insert_key, new, now)

    async def key_by_hash(self, key_hash: bytes) -> KeyRow | None:
        return await self._at.read(accounts.key_by_hash, key_hash)

    async def list_keys(self, tenant_n: int, position: Position) -> list[KeyRow]:
        return await self._at.read(accounts.list_keys, tenant_n, position)

    async def revoke_key(self, tenant_n: int, key_id: str, now: int) -> None:
        await self._at.write(accounts.revoke_key, tenant_n, key_id, now)

    async def touch_keys(self, used: dict[int, int]) -> None:
        await self._at.write(accounts.touch_keys, used)

    async def insert_end_user(self, new: NewEndUser, now: int) -> EndUserRow:
        return await self._at.write(accounts.insert_end_user, new, now)

    async def get_end_user(self, tenant_n: int, end_user_id: str) -> EndUserRow:
        return await self._at.read(accounts.end_user, tenant_n, end_user_id)

    async def list_end_users(self, tenant_n: int, external_id: str | None, position: Position) -> list[EndUserRow]:
        return await self._at.read(accounts.list_end_users, tenant_n, external_id, position)

    async def delete_end_user(
        self, tenant_n: int, end_user_id: str, now: int
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        await self._states.flush()
        await self._at.settle(now)
        return await self._at.write(end_users.delete, tenant_n, end_user_id, now)

    async def signing_keys(self) -> list[SigningKeyRow]:
        return await self._at.read(accounts.signing_keys)


class Stored(StoredCommands, StoredDevices, StoredAccounts, StoredRecordings, StoredRelays, StoredRetention):
    """All of it, over these connections to a database whose schema is up to date."""

    def __init__(self, at: Connections, write_states: Write) -> None:
        self._at = at
        self._states = PendingStates(at, write_states)

    async def gauges(self, now: int) -> dict[str, int]:
        await self._states.flush()
        await self._at.settle(now)
        return await self._at.read_beside(states.gauges, now)

    async def alive(self) -> bool:
        try:
            return await self._at.read(_answers)
        except Exception:
            return False

    async def close(self) -> None:
        await self._states.flush()
        await self._at.close()


async def _answers(db: Db) -> bool:
    return await db.one("SELECT 1") is not None


async def _command(db: Db, tenant_n: int, device_id: str, command_id: str) -> CommandRow:
    row = await moves.get(db, tenant_n, device_id, command_id)
    if row is None or not await devices.exists(db, tenant_n, device_id):
        raise moves.not_found("command on this device")
    return row
