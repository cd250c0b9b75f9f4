"""What the suite's tests stand on: a fresh store with a tenant, and short names for what they do all the time."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rolltape.codes import Code, Problem
from rolltape.domain.lifecycle import Word
from rolltape.domain.rows import CommandRow, DeviceRow, TokenRow
from rolltape.store.base import Store
from rolltape.store.inputs import Created, IncomingReport, NewCommand, NewDevice, NewEndUser, Reported
from rolltape.testing.clock import NOON_MS
from rolltape.wire.command import CommandType, Evidence, Route
from rolltape.wire.ids import new_id
from rolltape.wire.keys import Alg

T = TypeVar("T")
S = TypeVar("S", bound="Promises")
NOW = NOON_MS
"""When everything happens unless a test says otherwise: a whole second."""
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Ready:
    """An open store, its schema up to date, with two tenants that exist: a project's, and another project's.

    `moved` is what the store's `on_moved` appends to.
    """

    store: Store
    tenant_n: int
    other_tenant_n: int
    project_id: str
    moved: list[str]


class Promises:
    """The base of each part of the suite."""

    def make_store(self, folder: Path) -> AbstractAsyncContextManager[Ready]:
        """A store on `folder`: empty the first time, and with what was kept there when opened again."""
        raise NotImplementedError


class House:
    """A store, and what a test does with it all the time. Times are ms and default to NOW."""

    def __init__(self, ready: Ready) -> None:
        self.store = ready.store
        self.tenant_n = ready.tenant_n
        self.other_tenant_n = ready.other_tenant_n
        self.project_id = ready.project_id
        self._moved = ready.moved
        self._made = 0

    def _unique(self) -> str:
        self._made += 1
        return f"no-{self._made}"

    async def user(self, tenant_n: int | None = None) -> str:
        """A new end user's id."""
        tenant = self.tenant_n if tenant_n is None else tenant_n
        new = NewEndUser(new_id("eu", NOW), tenant, self._unique(), None, None, "{}")
        return (await self.store.insert_end_user(new, NOW)).id

    async def unbound(self, alg: Alg = "EdDSA", serial: str | None = None, now: int = NOW) -> str:
        """A new device's id."""
        new = NewDevice(
            id=new_id("dev", now),
            tenant_n=self.tenant_n,
            serial_number=serial or self._unique(),
            model=None,
            name=None,
            firmware_version=None,
            connection="[]",
            grant_alg=alg,
            public_key=None,
            metadata="{}",
            heartbeat_sec=60,
        )
        return (await self.store.register_device(new, now))[0].id

    async def bind(
        self, device_id: str, user_id: str | None = None, token: bytes | None = None, now: int = NOW
    ) -> DeviceRow:
        """Binds to that user, or a new one, with that token's hash."""
        user_id = user_id or await self.user()
        hash_ = token or sha256(self._unique().encode()).digest()
        row, _ = await self.store.bind_device(
            self.tenant_n, device_id, user_id, '["kid"]', b"sealed by nobody", hash_, None, now
        )
        return row

    async def device(self) -> str:
        """A new bound device's id."""
        device_id = await self.unbound()
        await self.bind(device_id)
        return device_id

    def new_command(
        self,
        device_id: str,
        type_: CommandType = "start_recording",
        *,
        key: str | None = None,
        ttl: int = 300,
        params: str = "{}",
        now: int = NOW,
    ) -> NewCommand:
        """A command to be created. `ttl` in s; two with different facts are different requests."""
        told_apart = sha256(f"{type_} {ttl} {params}".encode()).digest()
        until = -(-now // 1000) * 1000 + ttl * 1000
        return NewCommand(new_id("cmd", now), self.tenant_n, device_id, type_, params, until, key, told_apart)

    async def create(self, device_id: str, type_: CommandType = "start_recording", **facts: Any) -> CommandRow:
        """A created command."""
        return (await self.created(device_id, type_, **facts)).command

    async def created(self, device_id: str, type_: CommandType = "start_recording", **facts: Any) -> Created:
        """The whole answer to a creation."""
        new = self.new_command(device_id, type_, **facts)
        return await self.store.create_command(new, facts.get("now", NOW))

    async def reset(self, device_id: str, *, now: int = NOW) -> tuple[CommandRow, bool, tuple[str, ...]]:
        """A factory reset."""
        return await self.store.reset_device(self.new_command(device_id, "factory_reset", ttl=604_800, now=now), now)

    async def get(self, row: CommandRow, now: int = NOW) -> CommandRow:
        """The command as it stands."""
        return await self.store.get_command(row.tenant_n, row.device_id, row.id, now)

    async def cancel(self, row: CommandRow, now: int = NOW) -> CommandRow:
        """Cancels it."""
        return await self.store.cancel_command(row.tenant_n, row.device_id, row.id, now)

    async def acknowledge(
        self,
        row: CommandRow,
        *,
        generation: int | None = None,
        evidence: Evidence = "device",
        route: Route | None = None,
        now: int = NOW,
    ) -> CommandRow:
        """Acknowledges it."""
        return await self.store.acknowledge(row.tenant_n, row.device_id, row.id, generation, evidence, route, now)

    async def report(
        self,
        row: CommandRow,
        word: Word | None = None,
        *,
        generation: int | None = None,
        recording_id: str | None = None,
        route: Route | None = None,
        now: int = NOW,
    ) -> Reported:
        """Reports on it: executed, by the device, unless another word is given."""
        incoming = IncomingReport(word or EXECUTED, None, None, recording_id, None, route)
        return await self.store.report(row.tenant_n, row.device_id, row.id, generation, incoming, now)

    async def history(self, row: CommandRow, now: int = NOW) -> list[tuple[str, str | None]]:
        """Each event's type, without `command.`, and previous status, oldest first."""
        events = await self.store.command_events(row.tenant_n, row.device_id, row.id, 0, 1000, now)
        assert [event.n for event in events] == sorted({event.n for event in events})
        return [(event.type.removeprefix("command."), event.previous_status) for event in events]

    def news(self) -> list[str]:
        """The devices that were told of, since the last look, to have a command that has moved."""
        news = list(self._moved)
        self._moved.clear()
        return news

    async def token(self, token_hash: bytes) -> TokenRow:
        """The token with that hash, which must be there."""
        row = await self.store.token_by_hash(token_hash)
        assert row is not None
        return row


EXECUTED = Word("executed", None, None, "device")
FAILED = Word("failed", None, "internal", "device")


def by_a_relay(word: Word) -> Word:
    """The same word on weaker evidence."""
    return replace(word, evidence="relay")


async def refused(code: Code, work: Awaitable[Any]) -> Problem:
    """The refusal that `work` must end with."""
    with pytest.raises(Problem) as raised:
        await work
    assert raised.value.code == code, raised.value.message
    return raised.value


def on_a_store(scenario: Callable[[S, House], Awaitable[None]]) -> Callable[[S, Path], None]:
    """Makes a scenario on a fresh store a test."""

    def test(self: S, tmp_path: Path) -> None:
        async def run() -> None:
            async with self.make_store(tmp_path) as ready:
                await scenario(self, House(ready))

        asyncio.run(run())

    test.__name__ = scenario.__name__
    test.__qualname__ = scenario.__qualname__
    test.__doc__ = inspect.getdoc(scenario)
    test.__module__ = scenario.__module__
    return test
