"""The relay's half of the conversation with one device (docs/ble.md), from HELLO until the connection is gone.

Four things go on at once: what the device says is listened to; what it asks or wants kept is served, in its order;
grants are given, one at a time; audio is fetched, a piece at a time. Nothing here is the only copy of anything: what is
cut off at any message is said again in the next session.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from rolltape.backoff import Wake
from rolltape.relay.carry import Carrier
from rolltape.relay.fetch import Fetcher
from rolltape.relay.give import Giver
from rolltape.relay.link import Link
from rolltape.relay.log import log
from rolltape.relay.parts import Parts
from rolltape.relay.serve import Desk
from rolltape.relay.talk import Junk, Talk
from rolltape.wire.ble.frames import Refusal
from rolltape.wire.ble.service import VERSION
from rolltape.wire.ble.to_device import Fetch, Grant, Hello, Next
from rolltape.wire.ble.to_relay import Gone, Piece, Result, ToRelay, Welcome

HELLO_SEC = 10.0
"""How long a device may take to answer HELLO."""
_AGAIN_SEC = 0.25


class Session:
    """One conversation. `run` is all of it; `nudge` and `end` are for those outside."""

    def __init__(self, parts: Parts, carrier: Carrier, device_id: str, link: Link) -> None:
        self._parts, self._link, self.device_id = parts, link, device_id
        self._talk = Talk(link)
        self._fetcher = Fetcher(parts, device_id, self._talk, link)
        self._giver = Giver(parts, device_id, self._talk)
        self._desk = Desk(parts, carrier, device_id, self._talk, self._fetcher, self._giver)
        self._nudged = Wake(parts.clock)
        self._welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()
        self._has_told_all = False
        self._says_hello_again = False
        self._nexts = 0
        self._messages = 0
        self._is_troubled = False
        self.began = parts.clock.monotonic()
        self.last_heard = self.began

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do, as far as is known."""
        busy = self._desk.is_busy or self._giver.is_busy or self._fetcher.is_busy
        return self._has_told_all and not busy and not self._proof_is_near

    @property
    def has_more(self) -> bool:
        """Whether there would be more to do at once, if it went on."""
        return not self._has_told_all or self._giver.is_busy or self._fetcher.is_busy

    @property
    def _proof_is_near(self) -> bool:
        """Whether a report is on its way to the server, so that the device may soon ask for the proof."""
        held = self._parts.spool.of(self.device_id) if self._parts.network.online else []
        return any(one.word.kind == "report" for one in held)

    @property
    def was_useful(self) -> bool:
        """Whether the device has said more than HELLO."""
        return self._messages > 1

    def nudge(self) -> None:
        """Something of this device has reached the server: it may ask for the proof."""
        self._has_told_all = False
        self._nudged.ring()

    def network_is_back(self) -> None:
        """The device may have been told that there is none."""
        self._says_hello_again = True
        self.nudge()

    def grants_came(self) -> None:
        """There may be something to give."""
        self._giver.bell.ring()

    def revoke(self, command_id: str) -> None:
        """A command is no longer to be done."""
        self._giver.revoke(command_id)

    def end(self) -> None:
        """Others wait."""
        self._ended.set()

    async def run(self) -> None:
        """Until `end` is called. Raises LinkLost where the device is gone first.

        Raises Junk for a device to be left alone, TokenEnded and NotOurs where this relay may not serve it.
        """
        listening = asyncio.ensure_future(self._listen())
        tasks = [listening, asyncio.ensure_future(self._ended.wait())]
        try:
            await self._talk.say(Hello(online=self._parts.network.online))
            await self._wait_for_welcome(listening)
            tasks += [asyncio.ensure_future(loop) for loop in self._loops()]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _end([*tasks, self._welcome])
            await self._link.close()

    def _loops(self) -> list[Coroutine[Any, Any, None]]:
        return [self._desk.run(), self._giver.run(), self._fetcher.run(), self._ask_what_is_new()]

    async def _wait_for_welcome(self, listening: "asyncio.Future[None]") -> None:
        either: list[asyncio.Future[Any]] = [self._welcome, listening]
        await self._parts.clock.wait(asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED), HELLO_SEC)
        if listening.done():
            listening.result()
        if not self._welcome.done():
            raise Junk(f"said no HELLO within {HELLO_SEC:g} s")
        version = self._welcome.result().version
        if version != VERSION:
            raise Junk(f"speaks version {version} of the messages, this relay {VERSION}")

    async def _listen(self) -> None:
        while True:
            heard = await self._talk.hear()
            self.last_heard = self._parts.clock.monotonic()
            if isinstance(heard, Refusal):
                self._say_once(heard.detail)
                self._fetcher.lost_something()
                self._nudged.ring()
            else:
                self._messages += 1
                self._dispatch(heard)

    def _say_once(self, trouble: str) -> None:
        if not self._is_troubled:
            self._is_troubled = True
            log(f"{self.device_id}: {trouble}")

    def _dispatch(self, heard: ToRelay) -> None:
        if isinstance(heard, Welcome):
            if not self._welcome.done():
                self._welcome.set_result(heard)
        elif isinstance(heard, Piece | Gone):
            self._fetcher.heard(heard)
        elif isinstance(heard, Result):
            self._result(heard)
        else:
            self._desk.put(heard)

    def _result(self, heard: Result) -> None:
        if heard.about == Fetch.type:
            self._fetcher.heard(heard)
        elif heard.about == Grant.type:
            self._giver.heard(heard)
        elif heard.about == Next.type:
            self._nexts -= 1
            self._has_told_all = self._nexts <= 0

    async def _ask_what_is_new(self) -> None:
        """NEXT: at once, when there is something to be proved, and every now and then."""
        while True:
            if self._says_hello_again:
                self._says_hello_again = False
                await self._talk.say(Hello(online=True))
            self._nexts += 1
            await self._talk.say(Next())
            await self._parts.clock.sleep(_AGAIN_SEC)  # whoever nudges in a row is answered once
            await self._nudged.wait(self._parts.settings.visit_sec)


async def _end(tasks: list["asyncio.Future[Any]"]) -> None:
    """Cancel until all have ended: a library may swallow one cancellation."""
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=0.5)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at, so that nobody is told that it wasn't
