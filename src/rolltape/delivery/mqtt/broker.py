"""What the route takes to know of a broker: it says things to devices, and brings what they say."""

from collections.abc import Callable
from typing import Protocol

from rolltape.wire.mqtt import Place

Hear = Callable[[Place, bytes, Callable[[], None]], None]
"""Takes what a device said, and what to call once that has been dealt with. Comes back at once."""


class Broker(Protocol):
    """A connection that is kept: it comes back by itself."""

    @property
    def is_up(self) -> bool:
        """Whether it can be spoken with at present."""
        ...

    def say(self, place: Place, payload: bytes, *, sure: bool, expiry_sec: int) -> bool:
        """Sends it; whether it went out. `sure`: at least once, as far as the broker can (QoS 1)."""
        ...

    async def leave(self) -> None:
        """Hears nothing from now on, and may still say something: the node ends."""
        ...

    async def run(self) -> None:
        """Keeps the connection, until it is cancelled."""
        ...


class Nowhere:
    """Until there is a broker."""

    is_up = False

    def say(self, place: Place, payload: bytes, *, sure: bool, expiry_sec: int) -> bool:
        """It went nowhere."""
        return False

    async def leave(self) -> None:
        """It never came."""

    async def run(self) -> None:
        """Nothing is kept."""
