"""The customer's side: registers and binds the fleet, commands it at a steady rate, and reads what the server says."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from rolltape.sdk.calls import accounts, commands, devices
from rolltape.sdk.errors import ApiError, ExternalIdTaken, NotFound, Unreachable
from rolltape.simulate.device import Bound
from rolltape.simulate.dice import Dice
from rolltape.simulate.hands import PoolHands
from rolltape.simulate.settings import Wishes
from rolltape.simulate.world import World
from rolltape.wire.command import Command, CreatableType
from rolltape.wire.device import BoundDevice
from rolltape.wire.ids import new_id
from rolltape.wire.keys import HmacKey, Verifier, un_b64url, verifiers_from_jwks
from rolltape.wire.times import parse

AT_ONCE: Final = 128
"""So many calls are open at a time while the fleet is made, read and cleaned away."""
MOST_OPEN: Final = 1000
"""So many creates, when the server is slower than the rate that was asked for."""
DEVICES_PER_USER: Final = 100
_HURRIED: Final = 0.05
_CANCELLED: Final = 0.03
_HS256: Final = 0.25


class Backend:
    """`bound`: the fleet, by number. `late`: creates that had to wait because too many were open."""

    def __init__(self, wishes: Wishes, world: World, hands: PoolHands) -> None:
        self._wishes = wishes
        self._world = world
        self._hands = hands
        self._name = f"sim-{wishes.seed}"
        self._run = new_id("req", world.clock.now_ms())
        self._keys: dict[str, Verifier] = {}
        self._open: set[asyncio.Task[None]] = set()
        self._users: dict[int, str] = {}
        self.bound: dict[int, Bound] = {}
        self.late = 0

    # The fleet

    async def make_fleet(self) -> None:
        """Registers and binds every device. One that is there already is bound anew, so that all begins afresh."""
        users = range(-(-self._wishes.devices // DEVICES_PER_USER))
        await _each(users, self._make_user)
        await _each(range(self._wishes.devices), self._make_device)

    async def clean(self) -> None:
        """Deletes the fleet and its end users."""

        async def remove_device(number: int) -> None:
            await self._hands.call(devices.remove(self.bound[number].id, force=True))

        async def remove_user(user: str) -> None:
            await self._hands.call(accounts.remove_end_user(user))

        await _each(list(self.bound), remove_device)
        await _each(list(self._users.values()), remove_user)

    async def _make_user(self, number: int) -> None:
        external_id = f"{self._name}-{number:04d}"
        try:
            user = await self._hands.call(accounts.create_end_user(external_id))
        except (ExternalIdTaken, Unreachable):
            page = await self._hands.call(accounts.end_user_pages(external_id=external_id))
            if not page.data:
                raise
            user = page.data[0]
        self._users[number] = user.id

    async def _make_device(self, number: int) -> None:
        dice = Dice(self._wishes.seed, -1 - number)
        device = await self._hands.call(
            devices.register(
                f"{self._name}-{number:06d}",
                model="simulated",
                connection=["wifi"],
                grant_alg="HS256" if dice.happens(_HS256) else "EdDSA",
            )
        )
        if device.status == "bound":
            await self._hands.call(devices.unbind(device.id, force=True))
        bound = await self._hands.call(devices.bind(device.id, self._users[number // DEVICES_PER_USER]))
        self.bound[number] = Bound(
            bound.id,
            bound.device_token,
            bound.grant_iss,
            bound.binding_generation,
            bound.project_id,
            self._keys_in(bound),
        )

    def _keys_in(self, bound: BoundDevice) -> dict[str, Verifier]:
        """Its grant keys; all devices on the deployment's key share one dict."""
        if bound.grant_kid is not None and bound.grant_secret is not None:
            return {bound.grant_kid: HmacKey(bound.grant_kid, un_b64url(bound.grant_secret))}
        if not self._keys and bound.grant_keys is not None:
            self._keys.update(verifiers_from_jwks(bound.grant_keys))
        return self._keys

    # Commands

    async def command(self, stop: asyncio.Event) -> None:
        """Creates commands at the rate that was asked for, until the time is over or `stop` is set, and have ended.

        An open loop: each goes out when its time has come, whatever became of those before.
        """
        clock, per_s = self._world.clock, self._wishes.commands_per_second
        begin = clock.monotonic()
        for number in range(int(per_s * self._wishes.seconds)):
            ahead = begin + number / per_s - clock.monotonic()
            if ahead > 0:
                await clock.wait(stop.wait(), ahead)
            if stop.is_set():
                break
            if len(self._open) >= MOST_OPEN:
                self.late += 1
                await asyncio.wait(self._open, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(self._one(number))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        else:
            await clock.wait(stop.wait(), max(0.0, begin + self._wishes.seconds - clock.monotonic()))
        if self._open:
            await asyncio.wait(tuple(self._open))

    async def _one(self, number: int) -> None:
        dice, book = Dice(self._wishes.seed, number), self._world.book
        device = int(dice.roll() * self._wishes.devices)
        type_, params = _order(dice)
        ttl = 1 + int(dice.roll() * 3) if dice.happens(_HURRIED) else self._wishes.ttl
        key = f"{self._run}-{number}"
        request = commands.create(self.bound[device].id, type_, params=params, ttl_seconds=ttl, idempotency_key=key)
        begun = self._world.clock.monotonic()
        try:
            made = await self._hands.call(request)
        except Unreachable:
            book.unsure.append(key)
            return
        except ApiError as error:
            book.refuse(error.code)
            if error.may_have_happened:
                book.unsure.append(key)
            return
        heard = self._world.clock.monotonic()
        book.accepted(made.id, device, type_, parse(made.expires_at), begun, heard, key)
        if dice.happens(_CANCELLED):
            await self._cancel(made)

    async def _cancel(self, made: Command) -> None:
        try:
            await self._hands.call(commands.cancel(made.device_id, made.id))
        except (ApiError, Unreachable):  # it had ended, or nobody knows
            return
        self._world.book.cancelled(made.id)

    # What the server says

    async def look_at(self, command_ids: Iterable[str]) -> dict[str, Command | None]:
        """How these commands stand; None for one that the server doesn't know."""
        found: dict[str, Command | None] = {}
        entries = self._world.book.entries

        async def look(command_id: str) -> None:
            device = self.bound[entries[command_id].device]
            try:
                stands: Command | None = await self._hands.call(commands.fetch(device.id, command_id))
            except NotFound:
                stands = None
            found[command_id] = stands

        await _each(command_ids, look)
        return found


def _order(dice: Dice) -> tuple[CreatableType, dict[str, int] | None]:
    roll = dice.roll()
    if roll < 0.5:
        return "start_recording", {"max_duration_sec": 1 + int(dice.roll() * 60)}
    return ("stop_recording", None) if roll < 0.75 else ("trigger_upload", None)


async def _each(items: Iterable[object], do: Callable[..., Awaitable[None]]) -> None:
    """Does it for each, some at a time. What one raises ends all, and is raised."""
    row = iter(items)

    async def work() -> None:
        for item in row:
            await do(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
