"""The channel's waits, on a clock that stands still: who asks when, when it is given up, how a fleet comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from rolltape.backoff import Backoff
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.parts import Parts
from rolltape.recorder.recorder import Recorder
from rolltape.testing.clock import ManualClock
from rolltape.testing.recorder import FakeBody, FakeMicrophone
from rolltape.testing.script_server import ScriptServer
from rolltape.wire.channel import Close


class Chance(Random):
    """Draws the same part of every wait."""

    def uniform(self, a: float, b: float) -> float:
        return a + 0.4 * (b - a)


@asynccontextmanager
async def connected(server: ScriptServer, folder: Path, **settings: Any) -> AsyncIterator[tuple[Parts, ManualClock]]:
    """A recorder on a manual clock, whose channel is up."""
    clock, stop = ManualClock(), asyncio.Event()
    server.channel.works = True
    server.next_heartbeat_sec = 3600
    told = RecorderSettings(server=server.url, token=server.token, state_dir=folder / "state", **settings)
    recorder = Recorder(told, clock, probes=FakeBody(), source=FakeMicrophone(), random=Chance())
    running = asyncio.create_task(recorder.run(stop))
    try:
        await until(lambda: recorder.parts is not None)
        parts = recorder.parts
        assert parts is not None
        await parts.channel.up.wait()
        await seen(server, lambda: server.channel.frames["heartbeat"] == 1, "the keys that are held were told")
        server.channel.send({"type": "ping"})
        await seen(server, lambda: server.channel.frames["pong"] == 1, "nothing is on its way any more")
        yield parts, clock
    finally:
        stop.set()
        await running


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0)


async def heard_now(parts: Parts, clock: ManualClock) -> None:
    await until(lambda: parts.channel.heard_at == clock.monotonic())


async def elapsed_until(clock: ManualClock, holds: Callable[[], bool]) -> float:
    """Let time go by, a tenth of a second at a time, until it holds; how much that was."""
    began = clock.monotonic()
    while not holds():
        await settle(clock)
        clock.advance(0.1)
    return clock.monotonic() - began


async def seen(server: ScriptServer, holds: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(server.wait_until, holds, what)


def alone(test: Callable[[ScriptServer, Path], Awaitable[None]], folder: Path) -> None:
    with ScriptServer() as server:
        asyncio.run(test(server, folder))  # type: ignore[arg-type]


async def settle(clock: ManualClock) -> None:
    """Let everybody act who can."""
    for _ in range(50):
        await asyncio.sleep(0)
    assert clock.sleepers > 0


def test_a_silent_channel_is_asked_and_then_closed(tmp_path: Path) -> None:
    async def story(server: ScriptServer, folder: Path) -> None:
        async with connected(server, folder) as (parts, clock):
            server.channel.mute = {"ping"}
            await settle(clock)
            clock.advance(37.4)
            await settle(clock)
            assert server.channel.frames["ping"] == 0
            clock.advance(0.2)
            await seen(server, lambda: server.channel.frames["ping"] == 1, "the ping")
            await settle(clock)
            clock.advance(9.8)
            await settle(clock)
            assert parts.channel.up.is_set()
            clock.advance(0.3)
            await until(lambda: not parts.channel.up.is_set())

    alone(story, tmp_path)


def test_an_answer_to_the_ping_keeps_the_channel(tmp_path: Path) -> None:
    async def story(server: ScriptServer, folder: Path) -> None:
        async with connected(server, folder) as (parts, clock):
            for number in range(1, 4):
                await settle(clock)
                clock.advance(37.6)
                await seen(server, lambda sent=number: server.channel.frames["ping"] == sent, "the ping")  # type: ignore[misc]
                await heard_now(parts, clock)
            assert parts.channel.up.is_set()
            assert len(server.channel.hellos) == 1

    alone(story, tmp_path)


def test_on_4g_the_device_asks_seldom(tmp_path: Path) -> None:
    async def story(server: ScriptServer, folder: Path) -> None:
        server.channel.hello = {"ping_sec": 240, "silence_sec": 600}
        async with connected(server, folder, connection_type=("4g",)) as (_, clock):
            await settle(clock)
            clock.advance(239)
            await settle(clock)
            assert server.channel.frames["ping"] == 0
            clock.advance(2)
            await seen(server, lambda: server.channel.frames["ping"] == 1, "the ping")

    alone(story, tmp_path)


def test_after_a_drop_the_waits_begin_small_and_double(tmp_path: Path) -> None:
    async def story(server: ScriptServer, folder: Path) -> None:
        async with connected(server, folder, channel_first_sec=5.0) as (parts, clock):
            server.channel.works = False
            server.channel.close(Close.RESTART)
            await until(lambda: not parts.channel.up.is_set())
            assert not parts.channel.missing.is_set(), "the poll waits for the first try"
            for tries, wait in enumerate((2.0, 4.0, 8.0), start=1):
                waited = await elapsed_until(clock, lambda n=tries: server.channel.upgrades > n)  # type: ignore[misc]
                assert waited >= wait - 0.1
                assert server.channel.upgrades == tries + 1
            await until(parts.channel.missing.is_set)

    alone(story, tmp_path)


def test_a_fleet_that_lost_its_server_comes_back_evenly() -> None:
    random = Random(7)
    waits = [Backoff(5.0, 300.0, random, least=0.0).next() for _ in range(10_000)]
    assert all(0 <= wait <= 5 for wait in waits)
    by_second = [sum(1 for wait in waits if second <= wait < second + 1) for second in range(5)]
    assert max(by_second) < 1.1 * min(by_second)


def test_one_that_was_replaced_stays_away_for_long(tmp_path: Path) -> None:
    async def story(server: ScriptServer, folder: Path) -> None:
        async with connected(server, folder) as (parts, clock):
            server.channel.close(Close.REPLACED)
            await until(parts.channel.missing.is_set)
            waited = await elapsed_until(clock, lambda: server.channel.upgrades > 1)
            assert waited >= 0.7 * 300 - 0.1

    alone(story, tmp_path)
