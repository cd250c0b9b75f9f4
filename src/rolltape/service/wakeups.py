"""Wake-ups: they only say "look", and carry nothing. A lost one costs time, never a command.

A waiter asks for its signal first, looks next, and waits last; so what happens in between wakes it too.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Wakeups:
    """Signals by topic (a command's, a device's or an end user's id), all on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, listener: Callable[[str], None]) -> None:
        """From now on `listener` is told of every topic that has changed. It must come back at once."""
        self._listeners.append(listener)

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
        """Wakes all who wait for any of these."""
        for topic in topics:
            for event in self._waiting.get(topic, ()):
                event.set()
            for listener in self._listeners:
                listener(topic)

    def anyone(self, topic: str) -> bool:
        """Whether somebody waits for it."""
        return topic in self._waiting

    def release_all(self) -> None:
        """Wakes everybody: the server is about to end."""
        self.changed(*self._waiting)
