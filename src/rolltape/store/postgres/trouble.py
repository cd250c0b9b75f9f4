"""What can go wrong with the database itself, and what may be done about it."""

import logging
from typing import Final

import asyncpg

from rolltape.codes import Code, Problem

RETRY_SECONDS = 1
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
    asyncpg.InternalClientError,  # so it says where the connection ended between two statements
    asyncpg.IdleInTransactionSessionTimeoutError,
    ConnectionError,
    TimeoutError,
    OSError,
)
"""The connection, or the server behind it, is no more: another connection may do."""


def may_go_better(error: BaseException) -> bool:
    """Whether another try has a chance. asyncpg says of a value that doesn't fit its column, too, that it is an
    InterfaceError: then none has."""
    return isinstance(error, (*AGAIN, *GONE)) and not isinstance(error, ValueError)


def unavailable(error: BaseException, *, unknown: bool = False) -> Problem:
    """503. `unknown`: the connection was lost while the database was committing, so it may have been done."""
    log.error("the database can't: %s: %s", type(error).__name__, error)
    what = "It may have been done: look, or ask the same again." if unknown else "Nothing was done; try again."
    return Problem(
        Code.UNAVAILABLE,
        f"The server can't reach its database at the moment. {what}",
        details={"retry_after": RETRY_SECONDS},
    )
