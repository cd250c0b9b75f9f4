"""One connection to one device, as a session sees it. No radio in here."""

from typing import Protocol


class LinkLost(Exception):
    """The device is gone. Nothing that was written may be taken as heard."""


class NotPaired(Exception):
    """The device, or this machine, would not pair."""


class Link(Protocol):
    """A connection with RX and TX open (docs/ble.md)."""

    @property
    def mtu(self) -> int:
        """The ATT MTU as it is now; 23 where it isn't known."""
        ...

    async def write(self, fragment: bytes) -> None:
        """Write a fragment to RX. Raises LinkLost."""
        ...

    async def read(self) -> bytes:
        """The next notification of TX. Raises LinkLost once the connection is gone and all that came is read."""
        ...

    async def pair(self) -> None:
        """Encrypt the connection. Raises NotPaired, LinkLost."""
        ...

    async def close(self) -> None:
        """End the connection. Never raises."""
        ...
