"""What a radio and the device's session know of each other. No bumble here: a session needs none."""

from typing import Protocol

from rolltape.wire.ble.inbox import Message
from rolltape.wire.ble.to_device import ToDevice


class LinkClosed(Exception):
    """The relay is gone. Nothing that was sent may be taken as heard."""


class Link(Protocol):
    """One connection of one relay, from `opened` to `closed`."""

    @property
    def is_encrypted(self) -> bool:
        """Whether the link is encrypted, by LE Secure Connections. It may become so at any moment, and stays so."""
        ...

    @property
    def mtu(self) -> int:
        """The ATT MTU as it is now."""
        ...

    async def send(self, message: Message) -> None:
        """Send a message whole, in the order of the calls; back when the radio has room for more.

        Raises LinkClosed. ValueError for a message that is too long.
        """
        ...

    async def close(self) -> None:
        """End the connection. `closed` is called."""
        ...


class AirSession(Protocol):
    """The device's side of the conversation, whatever the radio. One link at a time."""

    @property
    def device_id(self) -> str:
        """Whose tag is advertised."""
        ...

    @property
    def holds(self) -> bool:
        """Whether there are reports or recordings that no signed answer has confirmed: a flag of INFO."""
        ...

    async def opened(self, link: Link) -> None:
        """A relay has connected and listens. Nothing is known of it yet."""
        ...

    async def received(self, message: ToDevice) -> None:
        """A message of the relay, in order, one at a time: the next one waits until this is back.

        So it must never wait for a later message. What can't be read is answered by the radio and doesn't come here.
        LinkClosed may pass out of it; any other exception ends the connection.
        """
        ...

    def closed(self) -> None:
        """The link of the last `opened` is gone. Called once for each `opened`, also where that raised."""
        ...
