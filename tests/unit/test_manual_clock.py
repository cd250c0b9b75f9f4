"""The manual clock: it stands still until it is told."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from rolltape.clock import Clock
from rolltape.testing.clock import NOON_MS, ManualClock


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_it_stands_still() -> None:
    clock: Clock = ManualClock()
    assert (clock.now_ms(), clock.monotonic()) == (NOON_MS, 0.0)
    assert clock.now_ms() == NOON_MS


def test_time_that_goes_by_moves_both_and_a_step_the_wall_alone() -> None:
    clock = ManualClock(1000)
    clock.advance(1.5)
    assert (clock.now_ms(), clock.monotonic()) == (2500, 1.5)
    clock.step_wall(3600)
    clock.step_wall(-3600.5)
    assert (clock.now_ms(), clock.monotonic()) == (2000, 1.5)


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_a_sleeper_wakes_when_its_time_has_come_and_no_sooner() -> None:
    async def work() -> None:
        clock = ManualClock()
        sleeper = asyncio.ensure_future(clock.sleep(10))
        await _settled()
        clock.advance(9.999)
        clock.step_wall(3600)
        await _settled()
        assert not sleeper.done()
        clock.advance(0.001)
        await _settled()
        assert sleeper.done()

    _run(work())


def test_a_sleep_of_nothing_comes_back_at_once() -> None:
    _run(ManualClock().sleep(0))


def test_a_wait_gives_the_result_that_comes_in_time() -> None:
    async def work() -> None:
        clock, event = ManualClock(), asyncio.Event()
        waiting = asyncio.ensure_future(clock.wait(event.wait(), 10))
        await _settled()
        event.set()
        assert await waiting is True

    _run(work())


def test_a_wait_ends_with_none_when_its_time_has_gone_by() -> None:
    async def work() -> None:
        clock = ManualClock()
        never = asyncio.ensure_future(asyncio.Event().wait())
        waiting = asyncio.ensure_future(clock.wait(never, 10))
        await _settled()
        clock.advance(10)
        assert await waiting is None
        await _settled()
        assert never.cancelled()

    _run(work())
