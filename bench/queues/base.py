"""What a queue is here: something that a client library puts one job into, durably, one call a job."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

JOB = {
    "device_id": "dev_0000000000000000000000",
    "type": "start_recording",
    "params": {"max_duration_sec": 1800, "upload_immediately": True},
    "idempotency_key": "0" * 16,
    "ttl_seconds": 3600,
}
"""What ours gets too."""

Put = Callable[[], Awaitable[object]]
"""One call: comes back when the job is kept."""
Connect = Callable[[str, int], AbstractAsyncContextManager[Put]]
"""Connects to the URL with at most so many connections, where there is a choice."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue by its client library. `pool` is the number of connections that was measured to be best."""

    name: str
    connect: Connect
    pool: int
    note: str
