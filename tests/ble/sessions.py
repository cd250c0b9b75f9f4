"""Small sessions for a peripheral: they show what the radio brings them."""

import asyncio
from typing import Any

from rolltape.recorder.ble.link import Link
from rolltape.wire.ble import to_device, to_relay
from rolltape.wire.ble.inbox import Message

DEVICE = "dev_0H2bQy5fT8nWkR3mZxPc7L"


class Echo:
    """Answers HELLO and NEXT, keeps what it hears, and counts its links."""

    device_id = DEVICE
    holds = False

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.links: list[Link] = []
        self.ends = 0
        self.opened_one = asyncio.Event()
        self.closed_one = asyncio.Event()

    async def opened(self, link: Link) -> None:
        self.links.append(link)
        self.opened_one.set()

    async def received(self, message: Message) -> None:
        self.heard.append(message)
        if isinstance(message, to_device.Hello):
            await self.links[-1].send(to_relay.Welcome(mtu=self.links[-1].mtu))
        elif isinstance(message, to_device.Next):
            await self.links[-1].send(to_relay.Result(about=message.type, code=0))

    def closed(self) -> None:
        self.ends += 1
        self.closed_one.set()


class Raw:
    """A message of any type and body."""

    def __init__(self, type_: int, body: bytes) -> None:
        self.type = type_
        self._body = body

    def body(self) -> bytes:
        return self._body
