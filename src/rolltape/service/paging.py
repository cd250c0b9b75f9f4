"""One page of a list, from rows that were asked for one beyond the limit."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from rolltape.service.context import Services
from rolltape.wire.common import Page


class Numbered(Protocol):
    """A row with its place in the order of creation."""

    @property
    def n(self) -> int: ...


R = TypeVar("R", bound=Numbered)
T = TypeVar("T")


def page(app: Services, rows: Sequence[R], limit: int, filters: tuple[object, ...], view: Callable[[R], T]) -> Page[T]:
    """The first `limit` of `rows`, each as `view` shows it, with a cursor when there are more."""
    more = len(rows) > limit
    kept = rows[:limit]
    cursor = app.vault.make_cursor(kept[-1].n, filters) if more else None
    return Page(data=[view(row) for row in kept], has_more=more, next_cursor=cursor)
