"""What every store promises. The service calls nothing else; SQLite and PostgreSQL keep the same promises, and
`rolltape.testing.store_suite` holds them to it.

Each write is atomic: it happens wholly or not at all, together with its events, and is durable before its call comes
back. A refusal (codes.Problem) has changed nothing. `now` is ms since the epoch. No read ever shows a command open at
or past its `expires_at`: what is due is expired first. Everything is of one tenant: another tenant's object is not
found. Whoever opens a store may name who hears (`on_moved`) of each device of whose commands one has moved, by whatever
call, once that is durable and before the call comes back; likewise (`on_binding_ended`) of each binding that ended.
"""

from collections.abc import Iterable
from typing import Protocol

from rolltape.codes import Mode
from rolltape.domain.rows import (
    BoundRow,
    CommandRow,
    DeviceRow,
    EndUserRow,
    EventRow,
    KeyRow,
    SigningKeyRow,
    TokenRow,
)
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
from rolltape.store.recordings import RecordingStore
from rolltape.store.relays import RelayStore
from rolltape.store.retention import RetentionStore
from rolltape.wire.command import Evidence, Route, Status


class CommandStore(Protocol):
    """Commands and their history."""

    async def create_command(self, new: NewCommand, now: int) -> Created:
        """Creates it with the device's next `seq`, or answers the one that its idempotency key made before.

        Two at once with one key: one creates, the other replays. A stop cancels older pending starts and stops.
        Raises Problem: not_found, idempotency_key_reused, device_not_bound, command_queue_full.
        """
        ...

    async def device_facts(self, tenant_n: int, device_id: str) -> DeviceFacts:
        """A quick look. Raises Problem: not_found."""
        ...

    async def is_bound(self, device_id: str, generation: int) -> bool:
        """A quick look: whether that binding lasts."""
        ...

    async def get_command(self, tenant_n: int, device_id: str, command_id: str, now: int) -> CommandRow:
        """Raises Problem: not_found, also for another device's."""
        ...

    async def command_of_generation(
        self, tenant_n: int, device_id: str, command_id: str, generation: int | None, now: int
    ) -> CommandRow:
        """The same, also of a deleted device; with `generation`, a token's, of that binding alone."""
        ...

    async def list_commands(
        self, tenant_n: int, device_id: str, statuses: tuple[str, ...], type_: str | None, position: Position, now: int
    ) -> list[CommandRow]:
        """Newest first. Raises Problem: not_found (the device)."""
        ...

    async def command_events(
        self, tenant_n: int, device_id: str, command_id: str, after: int, limit: int, now: int
    ) -> list[EventRow]:
        """A command's history, oldest first, also of a deleted device. Raises Problem: not_found."""
        ...

    async def cancel_command(self, tenant_n: int, device_id: str, command_id: str, now: int) -> CommandRow:
        """Cancels a pending one; twice is fine. Raises Problem: not_found, command_not_cancellable."""
        ...

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
        """Go: the command, `delivered`. `generation` is a token's, None for a key.

        `route`, if known, is noted as the one that won: a later acknowledgement or report doesn't change it.

        Raises Problem: not_found (also another generation's), command_no_go.
        """
        ...

    async def report(
        self,
        tenant_n: int,
        device_id: str,
        command_id: str,
        generation: int | None,
        incoming: IncomingReport,
        now: int,
    ) -> Reported:
        """Lands the device's word, whose route is noted where there was no acknowledgement.

        Raises Problem: not_found (also another generation's).
        """
        ...

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
        """Pending commands, marked as offered on `route`, and whether more wait: a reset, stops, the rest by `seq`.

        With `quiet_since`, only those that this route (poll or relay) has not offered after that time; on a channel,
        that no route has. Those in `but` are left out; with `only_urgent` all but resets and stops are.
        `grants_until` is when the grants end that a relay gets for them (ms), where they don't last until `expires_at`:
        the greatest is kept as `relay_grants_until`. A relay also gets, behind the others, what was acknowledged by way
        of a relay and not reported, once that time has gone by: the device's own grant has ended too.
        """
        ...

    async def statuses(self, device_id: str, generation: int, ids: tuple[str, ...]) -> dict[str, Status]:
        """A quick look: how those of these commands stand that are the device's under that
        binding; due ones may still be open."""
        ...

    async def anything_pending(self, device_id: str) -> bool:
        """A quick look, or what is known without one; due commands may still be counted."""
        ...

    async def raise_seq_floor(self, device_id: str) -> int:
        """A sequence number above all minted so far, which no grant will carry."""
        ...

    async def expire_due(self, now: int) -> list[str]:
        """Expires one batch of what is due; the ids, none when nothing was. A delivered reset ends its binding."""
        ...

    async def next_due(self) -> int | None:
        """When the next open command expires (ms)."""
        ...


class DeviceStore(Protocol):
    """Devices, their bindings and tokens, and what they say of themselves."""

    async def register_device(self, new: NewDevice, now: int) -> tuple[DeviceRow, bool]:
        """The device, and whether it is new: the same serial number in one tenant is the same device."""
        ...

    async def get_device(self, tenant_n: int, device_id: str) -> DeviceRow:
        """Raises Problem: not_found."""
        ...

    async def list_devices(self, tenant_n: int, by: DeviceFilter, position: Position, now: int) -> list[DeviceRow]:
        """Newest first."""
        ...

    async def update_device(self, tenant_n: int, device_id: str, change: ChangeDevice, now: int) -> DeviceRow:
        """Applies `change` to the device as it is. Raises Problem: not_found, and what `change` raises."""
        ...

    async def delete_device(self, tenant_n: int, device_id: str, force: bool, now: int) -> tuple[str, ...]:
        """Unbinds and deletes; the commands this closed. Raises Problem: not_found, device_recording."""
        ...

    async def device_counts(self, tenant_n: int, now: int) -> tuple[int, ...]:
        """All, bound, online, recording, low battery, storage full, open commands."""
        ...

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
        """The bound device and its sealed HS256 secret. Raises Problem: not_found, device_already_bound."""
        ...

    async def unbind_device(self, tenant_n: int, device_id: str, force: bool, now: int) -> Closed:
        """A no-op when unbound. Raises Problem: not_found, device_recording (unless forced)."""
        ...

    async def reset_device(self, new: NewCommand, now: int) -> tuple[CommandRow, bool, tuple[str, ...]]:
        """The reset, whether it is new, and what it closed. Raises Problem: not_found, device_not_bound."""
        ...

    async def add_token(self, tenant_n: int, device_id: str, generation: int, token_hash: bytes, now: int) -> None:
        """A further token of the binding: the older ones work until it is first used.

        Raises Problem: token_revoked, where that binding is over.
        """
        ...

    async def token_by_hash(self, token_hash: bytes) -> TokenRow | None:
        """A quick look at the index; where it is a round trip, it also tells whether a command waits for the device."""
        ...

    async def bound_device(self, device_id: str) -> BoundRow | None:
        """A quick look: the device under its binding; None for one that is unknown, deleted or not bound."""
        ...

    async def use_token(self, token: TokenRow, now: int) -> None:
        """Notes its first use, which replaces every older token of its binding."""
        ...

    async def note_token_reuse(self, token: TokenRow, now: int) -> None:
        """A replaced token came again: one event, the first time."""
        ...

    async def hold_kids(self, device_id: str, kids: str) -> None:
        """Notes the grant keys (JSON) that the device says it holds."""
        ...

    async def sealed_secret(self, device_id: str, generation: int) -> bytes | None:
        """The sealed HS256 secret of a binding."""
        ...

    def note_state(self, device_id: str, delta: StateDelta) -> None:
        """Keeps what a device said, in memory until the next batch; every read of devices sees it."""
        ...

    def expected_at(self, device_id: str) -> int | None:
        """When the device said it would come next, if it said so since the last batch."""
        ...

    async def flush_states(self) -> None:
        """Writes what devices said since the last time, with an event for each that came online."""
        ...

    async def mark_offline(self, now: int, limit: int) -> int:
        """Events for devices that have been silent too long; how many, 0 only where none is left."""
        ...


class AccountStore(Protocol):
    """Projects, keys, end users, and the deployment's own facts."""

    async def tenant_n(self, project_id: str, mode: Mode) -> int:
        """The tenant of a project and mode that exist."""
        ...

    async def insert_key(self, new: NewKey, now: int) -> KeyRow: ...
    async def key_by_hash(self, key_hash: bytes) -> KeyRow | None:
        """A quick look at the index; revoked ones too."""
        ...

    async def list_keys(self, tenant_n: int, position: Position) -> list[KeyRow]:
        """Those that aren't revoked, newest first."""
        ...

    async def revoke_key(self, tenant_n: int, key_id: str, now: int) -> None:
        """For good. Raises Problem: not_found."""
        ...

    async def touch_keys(self, used: dict[int, int]) -> None:
        """When keys were last used: key `n` → ms."""
        ...

    async def insert_end_user(self, new: NewEndUser, now: int) -> EndUserRow:
        """Raises Problem: external_id_taken."""
        ...

    async def get_end_user(self, tenant_n: int, end_user_id: str) -> EndUserRow:
        """Raises Problem: not_found."""
        ...

    async def list_end_users(self, tenant_n: int, external_id: str | None, position: Position) -> list[EndUserRow]:
        """Newest first."""
        ...

    async def delete_end_user(
        self, tenant_n: int, end_user_id: str, now: int
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Deletes it with its recordings and unbinds its devices by force, all at once; devices and closed commands.

        Raises Problem: not_found.
        """
        ...

    async def signing_keys(self) -> Iterable[SigningKeyRow]:
        """The grant keys, oldest first: a quick look."""
        ...


class Store(CommandStore, DeviceStore, AccountStore, RecordingStore, RelayStore, RetentionStore, Protocol):
    """All of it, and its life."""

    async def gauges(self, now: int) -> dict[str, int]:
        """Counts over all tenants, for an operator's graphs: `devices_bound`, `devices_online`, `commands_open`."""
        ...

    async def alive(self) -> bool:
        """Whether the database answers: for /health."""
        ...

    async def close(self) -> None:
        """Writes what is still in memory, and lets go of everything."""
        ...
