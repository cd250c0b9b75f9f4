"""Wake-ups: they only say "look", and carry nothing. A lost one costs time, never a command.

A waiter asks for its signal first, looks next, and waits last; so what happens in between wakes it too.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

EVERYTHING: Final = "*"
"""The topic of whoever may have missed something: each looks again."""


class Bus(Protocol):
    """How the nodes that share a database tell each other what has changed. What it loses costs seconds."""

    @property
    def is_heard(self) -> bool:
        """Whether the other nodes can be heard at present."""
        ...

    def publish(self, topics: Iterable[str]) -> None:
        """Tells the other nodes, soon."""
        ...

    async def close(self) -> None:
        """Says what is still to be said, and ends."""
        ...


class Wakeups:
    """Signals by topic (a command's, a device's or an end user's id), all on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._here: list[Callable[[str], None]] = []
        self.bus: Bus | None = None

    def listen(self, listener: Callable[[str], None]) -> None:
        """From now on `listener` is told of every topic that has changed. It must come back at once."""
        self._listeners.append(listener)

    def listen_here(self, listener: Callable[[str], None]) -> None:
        """The same, of what changed through this node alone."""
        self._here.append(listener)

    @contextmanager
    def signal(self, *topics: str) -> Iterator[asyncio.Event]:
        """A signal that is set when somebody says that one of the topics has changed."""
        event = asyncio.Event()
        for topic in topics:
            self._waiting.setdefault(topic, set()).add(event)
        try:
            yield event
        finally:
            for topic in topics:
                waiting = self._waiting.get(topic, set())
                waiting.discard(event)
                if not waiting:
                    self._waiting.pop(topic, None)

    def changed(self, *topics: str) -> None:
        """Wakes all who wait for any of these, on this node and on the others."""
        self.heard(topics)
        for listener in self._here:
            for topic in topics:
                listener(topic)
        self.tell_others(*topics)

    def tell_others(self, *topics: str) -> None:
        """Wakes those on the other nodes alone."""
        if self.bus is not None:
            self.bus.publish(topics)

    def heard(self, topics: Iterable[str]) -> None:
        """Wakes all on this node who wait for any of these."""
        for topic in topics:
            if topic == EVERYTHING:
                self.release_all()
            for event in self._waiting.get(topic, ()):
                event.set()
            for listener in self._listeners:
                listener(topic)

    def anyone(self, topic: str) -> bool:
        """Whether somebody waits for it."""
        return topic in self._waiting

    def release_all(self) -> None:
        """Wakes everybody here: the server is about to end, or may have missed something."""
        self.heard(tuple(self._waiting))
