"""Who can say go: the server on the device's own connection, or, where that is away, a relay that brings its answer."""

from typing import Protocol

from rolltape.recorder.heard import GoHeard
from rolltape.recorder.journal import Entry
from rolltape.recorder.parts import Parts
from rolltape.recorder.transport import Unreachable


class Air(Protocol):
    """What is asked of a relay that is near."""

    @property
    def is_open(self) -> bool:
        """Whether one is there."""
        ...

    async def ask(self, entry: Entry) -> bool:
        """Whether to act. Raises Unreachable."""
        ...


class Goes:
    """Asked before each act."""

    def __init__(self, parts: Parts, air: Air | None) -> None:
        self._parts = parts
        self._air = air

    @property
    def is_relay_here(self) -> bool:
        """Whether a relay is near that can be asked."""
        return self._air is not None and self._air.is_open

    @property
    def can_be_asked(self) -> bool:
        """Whether somebody has been heard since power-up who could say."""
        return self._parts.heard.is_set() or self.is_relay_here

    async def ask(self, entry: Entry) -> bool:
        """Whether to act, by whoever was reached last. Raises Unreachable where nobody says so, and TokenEnded."""
        ways = [self._ask_server]
        if self._air is not None and self._air.is_open:
            ways.insert(1 if self._parts.api.is_reached else 0, self._air.ask)
        troubles = []
        for way in ways:
            try:
                return await way(entry)
            except Unreachable as trouble:
                troubles.append(trouble)
        raise troubles[0]

    async def _ask_server(self, entry: Entry) -> bool:
        if entry.type == "start_recording" and not self._parts.settings.is_trusted:
            raise Unreachable("anybody could be this server: no start by its word, also where a relay has brought time")
        answer = await self._parts.api.ack(entry.id)
        if answer.status in {404, 409}:
            return False
        if not answer.ok:
            raise Unreachable(f"the server answered {answer.status} {answer.error.code}")
        return answer.read(GoHeard).go
