"""What can go wrong with the database itself, and what may be done about it."""

import asyncio
import logging
from typing import Final

import asyncpg

from rolltape.codes import Code, Problem

RETRY_SECONDS = 1
LOG_SECONDS = 1.0
MOST_COMPLAINTS = 100
log = logging.getLogger("rolltape.store")

AGAIN: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,  # somebody else has just written the same: the next look finds it
)
"""The transaction was rolled back, and another try may go well."""

GONE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # it is a standby by now
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a server's last word came between two statements, and the end is still to come
    asyncpg.IdleInTransactionSessionTimeoutError,
    ConnectionError,
    TimeoutError,
    OSError,
)
"""The connection, or the server behind it, is no more: another connection may do."""


def is_gone(error: BaseException) -> bool:
    """Whether nothing more can be said on that connection. asyncpg says of a value that doesn't fit its column, too,
    that it is an InterfaceError: then all is well with the connection."""
    return isinstance(error, GONE) and not isinstance(error, ValueError)


def may_go_better(error: BaseException) -> bool:
    """Whether another try has a chance."""
    return isinstance(error, AGAIN) or is_gone(error)


def unavailable(error: BaseException, *, unknown: bool = False) -> Problem:
    """503. `unknown`: the connection was lost while the database was committing, so it may have been done."""
    _complain(f"{type(error).__name__}: {error}")
    what = "It may have been done: look, or ask the same again." if unknown else "Nothing was done; try again."
    return Problem(
        Code.UNAVAILABLE,
        f"The server can't reach its database at the moment. {what}",
        details={"retry_after": RETRY_SECONDS},
    )


_complaints: dict[str, tuple[float, int]] = {}
"""When each thing was last logged (seconds on the event loop's timer), and how often it was not since."""


def _complain(what: str) -> None:
    """Logs what is wrong, each thing once a second: a database that is away fails every call, thousands in a second."""
    now = asyncio.get_running_loop().time()
    last, kept = _complaints.get(what, (-LOG_SECONDS, 0))
    if last <= now < last + LOG_SECONDS:
        _complaints[what] = last, kept + 1
        return
    if len(_complaints) >= MOST_COMPLAINTS:
        _complaints.clear()
    _complaints[what] = now, 0
    log.error("the database can't: %s%s", what, f" (and {kept} times since this was last said)" if kept else "")
