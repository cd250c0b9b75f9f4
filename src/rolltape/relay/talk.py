"""Messages over a link: cut and put together, one at a time each way, with an end to whoever sends junk."""

import asyncio

from rolltape.relay.link import Link
from rolltape.wire.ble.frames import Refusal, ResultCode, cut
from rolltape.wire.ble.inbox import Message, frame, relay_inbox
from rolltape.wire.ble.to_relay import ToRelay

_PIECE_FRAGMENTS = 32
_LEAST_PIECE, _MOST_PIECE = 512, 16 * 1024


class Junk(Exception):
    """This device can't be talked to: leave it alone for a while."""


class Talk:
    """Both directions of one link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._inbox = relay_inbox()
        self._writing = asyncio.Lock()
        self._come: list[ToRelay | Refusal] = []

    async def say(self, message: Message) -> None:
        """Send a message whole. Raises LinkLost."""
        async with self._writing:
            for fragment in cut(frame(message), self._link.mtu):
                await self._link.write(fragment)

    async def hear(self) -> ToRelay | Refusal:
        """The next message, or what was wrong with it. Raises LinkLost, and Junk after too much that was wrong.

        Types that aren't known are for later versions, and passed over.
        """
        while True:
            if self._come:
                item = self._come.pop(0)
                if not (isinstance(item, Refusal) and item.code == ResultCode.UNKNOWN_MESSAGE):
                    return item
                continue
            fragment = await self._link.read()
            self._come += self._inbox.feed(fragment)
            if self._inbox.is_hopeless:
                raise Junk("sends nothing that can be read")

    @property
    def piece_bytes(self) -> int:
        """How much of a recording to ask for at once: so little that a question never waits long behind it."""
        return max(_LEAST_PIECE, min(_MOST_PIECE, _PIECE_FRAGMENTS * (self._link.mtu - 4)))
