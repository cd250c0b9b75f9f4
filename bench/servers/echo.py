"""The bare ASGI application."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.servers.process import listening
from bench.servers.target import Population, Target


@contextmanager
def echo() -> Iterator[Target]:
    """The least that a server can do: reads a body, answers a constant with 201."""
    with listening("bench.limits.echo") as at:
        yield Target("echo", at.host, at.port, "x" * 50, Population(1, "dev_%(device)022d", ""), at.pid)
