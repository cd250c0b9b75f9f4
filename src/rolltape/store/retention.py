"""What every store promises of age: what may go, a little at a time.

Each call deletes at most `limit` of its kind, those longest due first, in a transaction of its own that waits for
nobody: what somebody holds at that moment is left for the next call. 0: nothing is left to do, or all of it is held.
"""

from typing import Protocol


class RetentionStore(Protocol):
    """What ages out. Times are ms since the epoch, and inclusive."""

    async def age_out_commands(self, until: int, limit: int) -> int:
        """Deletes closed commands, each with its whole history, whose `expires_at` and `reported_at` are both at or
        before `until`: nothing can start by them any more, and nobody has spoken of them since. How many.

        The device's counters stay as they are, so no `seq` comes twice; neither does an event's number.
        """
        ...

    async def age_out_events(self, until: int, limit: int) -> int:
        """Deletes events of no command that were written at or before `until`; how many."""
        ...

    async def age_out_tokens(self, until: int, limit: int) -> int:
        """Deletes device tokens whose binding ended at or before `until`; how many."""
        ...

    async def prune_relay_tokens(self, now: int, limit: int) -> int:
        """Deletes relay tokens whose time is over; how many."""
        ...
