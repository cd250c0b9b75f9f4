"""One run: make the fleet, let it live while commands are created, let the network heal, and check every promise."""

import asyncio
import resource
import signal
import ssl
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from rolltape.clock import Clock, SystemClock
from rolltape.mqtt.address import Address, parse, tls_of
from rolltape.sdk.errors import SettingsError
from rolltape.simulate.backend import Backend
from rolltape.simulate.book import Entry
from rolltape.simulate.brokered import Brokered
from rolltape.simulate.channels import Channels
from rolltape.simulate.check import broken, is_settled
from rolltape.simulate.contact import Contact, Contacts, Way
from rolltape.simulate.device import Device
from rolltape.simulate.dice import Dice, Luck
from rolltape.simulate.hands import PoolHands
from rolltape.simulate.heartbeats import Heartbeats
from rolltape.simulate.pool import Pool, origin_of
from rolltape.simulate.report import Lengths, Report, report_of
from rolltape.simulate.settings import TEST_KEYS, RouteChoice, Wishes
from rolltape.simulate.world import World
from rolltape.wire.command import Command

DEVICE_CONNECTIONS: Final = 256
BACKEND_CONNECTIONS: Final = 128
PATIENCE_SEC: Final = 10.0
SLOWEST_SEC: Final = 3.0
MOST_BACKEND_LOSS: Final = 0.2
"""A backend's network is better than that: it would only hold up the commands."""
CONNECTS_PER_S: Final = 500
"""The fleet's channels are opened at this pace, at most."""
FIRST_HEARTBEATS_PER_S: Final = 2000
"""The pace of first heartbeats, at most. One costs a server more than twice what later ones do (the token's first use,
the keys that the device holds, coming online): a large fleet at once would only show how a server falls behind."""
_LOOK_SEC: Final = 0.5
_LOOK_AT: Final = 500
_AFTERMATH_SEC: Final = 5.0

Watch = Callable[["Fleet", str], None]
"""Called with the fleet and what it is doing, a few times a second."""


class Fleet:
    """Everything that one run has. `kind` makes its devices: a test may plant a fault.

    `told`: how the commands stand on the server, once that was asked.
    """

    def __init__(self, wishes: Wishes, clock: Clock, kind: type[Device] = Device) -> None:
        tls = _tls(wishes.ca_file)
        origins = [origin_of(url, tls) for url in wishes.servers]
        every = wishes.every
        patience = PATIENCE_SEC if every is None else min(PATIENCE_SEC, max(1.0, every))
        slowest = SLOWEST_SEC if every is None else min(SLOWEST_SEC, every)
        self.wishes = wishes
        self.kind = kind
        self.world = World(clock, Luck(wishes.loss), every, patience, slowest)
        self.contacts = Contacts(self.world)
        self.device_pool = Pool(origins, clock, most=DEVICE_CONNECTIONS, patience=patience)
        self.backend_pool = Pool(origins, clock, most=BACKEND_CONNECTIONS, patience=30.0)
        self.channels = Channels(self.contacts, origins)
        self.brokered = Brokered(self.contacts, _brokers(wishes), wishes.per_line)
        self.heartbeats = Heartbeats(self.contacts, self.device_pool, origins[0])
        self.hands = PoolHands(
            self.backend_pool, wishes.servers[0], origins[0], wishes.api_key, clock, Dice(wishes.seed, 1 << 40)
        )
        self.backend = Backend(wishes, self.world, self.hands)
        self.stop = asyncio.Event()
        self.phase = "making the fleet"
        self.unsettled = 0
        self.told: dict[str, Command | None] = {}

    async def run(self) -> Report:
        """The whole story. Raises what the SDK raises where the server can't be used."""
        if not self.wishes.api_key.startswith(TEST_KEYS):
            raise SettingsError("a simulation takes a key of test mode (sk_test_… or rk_test_…): it makes devices")
        try:
            await self.backend.make_fleet()
            return await self._live()
        finally:
            await self._end()

    async def _live(self) -> Report:
        clock = self.world.clock
        self.phase = "running"
        self._begin()
        begin = clock.monotonic()
        self.hands.loss = min(self.wishes.loss, MOST_BACKEND_LOSS)
        await self.backend.command(self.stop)
        self.hands.loss = 0.0
        self.phase = "settling"
        healed = clock.monotonic()
        self.world.luck.heal()
        self.contacts.wake_all(healed)
        await self._settle()
        self.phase = "checking"
        settled = clock.monotonic()
        now_ms = self.world.book.true_time.at(settled)
        self.told = told = await self.backend.look_at(list(self.world.book.entries))
        return report_of(
            self.wishes,
            self.world,
            broken(self.world.book, told, now_ms),
            told,
            unsettled=self.unsettled,
            late=self.backend.late,
            lengths=Lengths(healed - begin, settled - healed),
        )

    def now(self) -> dict[str, str]:
        """What goes on, for people."""
        figures, counts = self.world.figures, self.world.book.counts
        return {
            "devices": f"{len(self.backend.bound):,} of {self.wishes.devices:,}",
            "asleep": f"{len(self.contacts.timers):,}",
            "connections": f"{len(self.device_pool):,} shared, {len(self.channels):,} channels, "
            f"{len(self.brokered):,} on brokers",
            "heartbeats": f"{figures['heartbeats']:,}",
            "commands": f"{counts['accepted']:,} created",
            "the devices say": f"{counts['executed']:,} executed, {counts['failed']:,} failed",
            "without an answer": f"{figures['no_answer']:,} calls; {figures['power_cuts']:,} power cuts",
            "to settle": f"{self.unsettled:,}",
        }

    def _begin(self) -> None:
        heartbeats, channels = self.heartbeats, self.channels
        chosen: dict[RouteChoice, list[Way]] = {
            "heartbeat": [heartbeats],
            "channel": [channels],
            "mqtt": [self.brokered],
            "mixed": [heartbeats, channels, *([self.brokered] if self.wishes.brokers else [])],
        }
        self.contacts.ways = chosen[self.wishes.route]
        now = self.world.clock.monotonic()
        spread = max(self.world.every or 60.0, self.wishes.devices / FIRST_HEARTBEATS_PER_S)
        if self.wishes.route != "heartbeat":
            spread = max(1.0, min(spread, self.wishes.devices / CONNECTS_PER_S))
        for number, facts in self.backend.bound.items():
            dice = Dice(self.wishes.seed, (1 << 32) + number)
            device = self.kind(self.world, number, facts, dice)
            way = self.contacts.ways[number % len(self.contacts.ways)]
            self.contacts.begin(
                Contact(device, way, is_frugal=dice.happens(0.5), begins=now + dice.roll() * spread, number=number)
            )

    async def _settle(self) -> None:
        """Until nothing more can become of any command, or the last one's time is long over."""
        book, clock = self.world.book, self.world.clock
        known: dict[str, Command | None] = {}
        last = max((entry.expires_ms for entry in book.entries.values()), default=0)
        last = max(last, book.true_time.at(clock.monotonic()))
        while True:
            at_work = {command_id for each in self.contacts.all for command_id in each.device.in_hand}
            left = [
                entry
                for entry in book.entries.values()
                if entry.accepted and not self._is_settled(entry, known, at_work)
            ]
            self.unsettled = len(left)
            is_late = book.true_time.at(clock.monotonic()) >= last + (_AFTERMATH_SEC + self._longest_silence()) * 1000
            if not left or is_late:
                return
            await clock.sleep(_LOOK_SEC)
            known.update(await self.backend.look_at([entry.id for entry in left if entry.word is None][:_LOOK_AT]))

    def _is_settled(self, entry: Entry, known: Mapping[str, Command | None], at_work: Container[str]) -> bool:
        if entry.word is None and not entry.dropped and entry.id not in known:
            return False
        return is_settled(entry, known.get(entry.id), in_hand=entry.id in at_work)

    def _longest_silence(self) -> float:
        return 1.1 * (self.world.every or 60.0) + self.world.patience

    async def _end(self) -> None:
        self.phase = "ending"
        self.contacts.timers.stop()
        for contact in self.contacts.all:
            contact.is_over = True
        await self.channels.close()
        await self.brokered.close()
        await self.device_pool.close()
        if self.wishes.clean:
            self.phase = "cleaning"
            await self.backend.clean()
        await self.backend_pool.close()


def _brokers(wishes: Wishes) -> list[tuple[Address, ssl.SSLContext | None]]:
    if wishes.route == "mqtt" and not wishes.brokers:
        raise SettingsError("the route mqtt needs a broker: --broker mqtt://127.0.0.1:1883")
    try:
        found = [parse(each) for each in wishes.brokers]
        return [(address, tls_of(address, wishes.ca_file)) for address in found]
    except (ValueError, OSError) as error:
        raise SettingsError(f"the broker can't be used: {error}") from error


def _tls(ca_file: Path | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:  # SSLError is one
        raise SettingsError(f"the CA file {ca_file} can't be used: {error}") from error


def simulate(wishes: Wishes, watch: Watch | None = None, kind: type[Device] = Device) -> Report:
    """One run, from beginning to end. Ctrl-C ends the creating, and the rest is done; again ends it at once.

    Raises SettingsError, and what the SDK raises where the server can't be used.
    """
    return run_fleet(Fleet(wishes, SystemClock(), kind), watch)


def run_fleet(fleet: Fleet, watch: Watch | None = None) -> Report:
    """The same for a fleet whose book somebody wants to read afterwards."""
    _allow_open_files()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(fleet, watch))


async def _run(fleet: Fleet, watch: Watch | None) -> Report:
    loop = asyncio.get_running_loop()
    story = asyncio.create_task(fleet.run())
    faults: list[BaseException] = []

    def on_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        faults.append(error if isinstance(error, BaseException) else RuntimeError(str(context.get("message"))))
        story.cancel()

    loop.set_exception_handler(on_fault)
    with _stop_on_interrupt(fleet):
        watcher = asyncio.create_task(_watch(fleet, watch)) if watch is not None else None
        try:
            return await story
        except asyncio.CancelledError:
            if faults:
                raise faults[0] from None  # a fault in a callback is a fault of the simulator
            raise
        finally:
            if watcher is not None:
                watcher.cancel()


async def _watch(fleet: Fleet, watch: Watch) -> None:
    while True:
        watch(fleet, fleet.phase)
        await fleet.world.clock.sleep(0.25)


@contextmanager
def _stop_on_interrupt(fleet: Fleet) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        fleet.stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    with suppress(NotImplementedError, RuntimeError, ValueError):  # not on every system, nor in every thread
        loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGINT)


def _allow_open_files() -> None:
    """As many as the system lets this process have: each live channel is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # not every system takes its own hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on every system
        return None
    return uvloop.new_event_loop
