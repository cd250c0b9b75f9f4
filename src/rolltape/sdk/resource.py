"""How a described call becomes a method: `get = Call(devices.fetch)` in the blocking client, `AsyncCall(devices.fetch)`
in the other. Signature, types and docstring come from the description.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

from rolltape.sdk.drive import iterate, iterate_async, run, run_async
from rolltape.sdk.request import Request
from rolltape.sdk.steps import Emit, Plan, ask
from rolltape.sdk.transport import Async, Blocking
from rolltape.wire.common import Page

P = ParamSpec("P")
T = TypeVar("T")
LARGEST_PAGE = 100


def walk(first: Request[Page[T]]) -> Plan[None]:
    """Emit the items of a list, page after page. A `limit` on the request says how many items in all."""
    limits = [int(text) for name, text in first.query if name == "limit"]
    left = limits[0] if limits else None
    cursor: str | None = dict(first.query).get("cursor")
    while left is None or left > 0:
        size = LARGEST_PAGE if left is None else min(left, LARGEST_PAGE)
        page = yield from ask(first.with_query(limit=size, cursor=cursor))
        for item in page.data:
            yield Emit(item)
        left = None if left is None else left - len(page.data)
        cursor = page.next_cursor
        if not page.has_more or cursor is None:
            return


class Resource:
    """Calls of one kind, of the blocking client."""

    def __init__(self, hands: Blocking) -> None:
        self.hands = hands


class AsyncResource:
    """Calls of one kind, of the async client."""

    def __init__(self, hands: Async) -> None:
        self.hands = hands


class Call(Generic[P, T]):
    """One request; the method answers what it answers."""

    def __init__(self, describe: Callable[P, Request[T]]) -> None:
        self._describe = describe

    def __get__(self, resource: Resource | None, owner: type[Any]) -> Callable[P, T]:
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return run(_hands(resource), ask(self._describe(*args, **kwargs)))

        return update_wrapper(call, self._describe)


class AsyncCall(Generic[P, T]):
    """One request; the method's awaitable answers what it answers."""

    def __init__(self, describe: Callable[P, Request[T]]) -> None:
        self._describe = describe

    def __get__(self, resource: AsyncResource | None, owner: type[Any]) -> Callable[P, Coroutine[Any, Any, T]]:
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return await run_async(_async_hands(resource), ask(self._describe(*args, **kwargs)))

        return update_wrapper(call, self._describe)


class Course(Generic[P, T]):
    """A plan of several requests with one result."""

    def __init__(self, plan: Callable[P, Plan[T]]) -> None:
        self._plan = plan

    def __get__(self, resource: Resource | None, owner: type[Any]) -> Callable[P, T]:
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return run(_hands(resource), self._plan(*args, **kwargs))

        return update_wrapper(call, self._plan)


class AsyncCourse(Generic[P, T]):
    """A plan of several requests with one result."""

    def __init__(self, plan: Callable[P, Plan[T]]) -> None:
        self._plan = plan

    def __get__(self, resource: AsyncResource | None, owner: type[Any]) -> Callable[P, Coroutine[Any, Any, T]]:
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return await run_async(_async_hands(resource), self._plan(*args, **kwargs))

        return update_wrapper(call, self._plan)


class Items(Generic[P, T]):
    """A list: the method answers an iterator over all of it, which fetches pages as they are needed.

    `limit` is the most items in all; `cursor` is where to begin.
    """

    def __init__(self, describe: Callable[P, Request[Page[T]]]) -> None:
        self._describe = describe

    def __get__(self, resource: Resource | None, owner: type[Any]) -> Callable[P, Iterator[T]]:
        def call(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return iterate(_hands(resource), walk(self._describe(*args, **kwargs)))

        return update_wrapper(call, self._describe)


class AsyncItems(Generic[P, T]):
    """A list: the method answers an async iterator over all of it."""

    def __init__(self, describe: Callable[P, Request[Page[T]]]) -> None:
        self._describe = describe

    def __get__(self, resource: AsyncResource | None, owner: type[Any]) -> Callable[P, AsyncIterator[T]]:
        def call(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            return iterate_async(_async_hands(resource), walk(self._describe(*args, **kwargs)))

        return update_wrapper(call, self._describe)


class Watch(Generic[P, T]):
    """A plan that emits items of `kind` as they come."""

    def __init__(self, plan: Callable[P, Plan[None]], kind: type[T]) -> None:
        self._plan, self.kind = plan, kind

    def __get__(self, resource: Resource | None, owner: type[Any]) -> Callable[P, Iterator[T]]:
        def call(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return iterate(_hands(resource), self._plan(*args, **kwargs))

        return update_wrapper(call, self._plan)


class AsyncWatch(Generic[P, T]):
    """A plan that emits items of `kind` as they come."""

    def __init__(self, plan: Callable[P, Plan[None]], kind: type[T]) -> None:
        self._plan, self.kind = plan, kind

    def __get__(self, resource: AsyncResource | None, owner: type[Any]) -> Callable[P, AsyncIterator[T]]:
        def call(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            return iterate_async(_async_hands(resource), self._plan(*args, **kwargs))

        return update_wrapper(call, self._plan)


def _hands(resource: Resource | None) -> Blocking:
    assert resource is not None, "call it on a client, as in client.devices.get"
    return resource.hands


def _async_hands(resource: AsyncResource | None) -> Async:
    assert resource is not None, "call it on a client, as in client.devices.get"
    return resource.hands
