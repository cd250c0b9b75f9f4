"""How a store reaches its database: what `stored` is made on. SQLite and PostgreSQL each have their own."""

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from rolltape.store.database import Db

P = ParamSpec("P")
T = TypeVar("T")
Hear = Callable[[str], None]
"""Hears of a device, by its id."""
Op = Callable[Concatenate[Db, P], Coroutine[Any, Any, T]]


def nobody(device_id: str) -> None:
    """Doesn't listen."""


class Connections(Protocol):
    """Writes in transactions, reads beside them."""

    async def write(self, op: Op[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One operation in a transaction; its answer once that is durable.

        Raises Problem (`unavailable`) where the database can't.
        """
        ...

    async def read(self, op: Op[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One short read: index look-ups and pages."""
        ...

    async def read_beside(self, op: Op[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One read that may take long, beside everything else."""
        ...

    async def settle(self, now: int) -> None:
        """Expires all that is due, so that what comes next sees nothing open past its time.

        Writes settle in their own transaction too where they can, for what falls due meanwhile; what is settled here
        stays, also where the write is then refused.
        """
        ...

    async def close(self) -> None:
        """Finishes waiting writes and closes the connections."""
        ...
