"""Two ways to carry out one plan: blocking, and async. This file and transport.py are all that differs between them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar, cast

from rolltape.sdk.exchange import exchange
from rolltape.sdk.request import Request
from rolltape.sdk.steps import Emit, Fetch, Now, Pause, Plan, Send, Work
from rolltape.sdk.transport import Async, Blocking

T = TypeVar("T")


class _Course:
    """Where a plan has got to: what it wants next, and what to tell it."""

    def __init__(self, plan: Plan[Any]) -> None:
        self.plan = plan
        self.reply: Any = None
        self.error: BaseException | None = None
        self.result: Any = None

    def next_step(self) -> Any:
        """The next step, or None at the end. What the plan raises is raised here."""
        reply, error = self.reply, self.error
        self.reply = self.error = None
        try:
            return self.plan.send(reply) if error is None else self.plan.throw(error)
        except StopIteration as end:
            self.result = end.value
            return None


def run(hands: Blocking, plan: Plan[T]) -> T:
    """The plan's result."""
    course = _Course(plan)
    while (step := course.next_step()) is not None:
        _take(hands, course, step)
    return cast(T, course.result)


def iterate(hands: Blocking, plan: Plan[object]) -> Iterator[Any]:
    """What the plan emits, as it does."""
    course = _Course(plan)
    while (step := course.next_step()) is not None:
        if isinstance(step, Emit):
            yield step.item
        else:
            _take(hands, course, step)


def _take(hands: Blocking, course: _Course, step: Any) -> None:
    try:
        course.reply = _outcome(hands, step)
    except Exception as error:  # noqa: BLE001, RUF100 - it is raised where the plan asked
        course.error = error


def _outcome(hands: Blocking, step: Any) -> Any:
    match step:
        case Request():
            return run(hands, exchange(step, hands.session))
        case Send():
            return hands.send(step)
        case Fetch():
            return hands.fetch(step)
        case Pause():
            return hands.pause(step.seconds)
        case Now():
            return hands.clock.now_ms(), hands.clock.monotonic()
        case Work():
            return step.do()
    raise TypeError(f"not a step: {step!r}")


async def run_async(hands: Async, plan: Plan[T]) -> T:
    """The plan's result."""
    course = _Course(plan)
    while (step := course.next_step()) is not None:
        await _take_async(hands, course, step)
    return cast(T, course.result)


async def iterate_async(hands: Async, plan: Plan[object]) -> AsyncIterator[Any]:
    """What the plan emits, as it does."""
    course = _Course(plan)
    while (step := course.next_step()) is not None:
        if isinstance(step, Emit):
            yield step.item
        else:
            await _take_async(hands, course, step)


async def _take_async(hands: Async, course: _Course, step: Any) -> None:
    try:
        course.reply = await _outcome_async(hands, step)
    except Exception as error:  # noqa: BLE001, RUF100 - it is raised where the plan asked
        course.error = error


async def _outcome_async(hands: Async, step: Any) -> Any:
    match step:
        case Request():
            return await run_async(hands, exchange(step, hands.session))
        case Send():
            return await hands.send(step)
        case Fetch():
            return await hands.fetch(step)
        case Pause():
            return await hands.pause(step.seconds)
        case Now():
            return hands.clock.now_ms(), hands.clock.monotonic()
        case Work():
            return await asyncio.to_thread(step.do)
    raise TypeError(f"not a step: {step!r}")
