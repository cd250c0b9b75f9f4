"""From the spool to the server: word after word of each device, until the server has it or will never take it."""

import asyncio
from collections import defaultdict

from rolltape.relay.line import Answer, Unreachable
from rolltape.relay.log import log
from rolltape.relay.parts import Parts
from rolltape.relay.spool import Held
from rolltape.relay.token import TokenEnded


class Carrier:
    """The loop that brings words. `carry` brings those about one command at once, for a device that waits."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self) -> None:
        """For ever."""
        backoff = self._parts.backoff()
        while True:
            try:
                for device_id in self._parts.spool.devices():
                    await self.carry(device_id)
            except Unreachable as trouble:
                if trouble.offline:
                    self._parts.network.lost(trouble)
                await self._parts.bells.carry.wait(max(backoff.next(), trouble.retry_after or 0.0))
            except TokenEnded:
                await self._parts.new_token()
            else:
                backoff.succeeded()
                await self._parts.bells.carry.wait()

    async def carry(self, device_id: str, about: str | None = None, *, timeout: float | None = None) -> None:
        """Bring what is held of a device, or of it what is about one command. Raises Unreachable, TokenEnded."""
        async with self._locks[device_id]:
            for held in self._parts.spool.of(device_id):
                if about in (None, held.word.about):
                    await self._one(held, timeout)

    async def _one(self, held: Held, timeout: float | None) -> None:
        word = held.word
        answer = await self._tell(held, timeout)
        self._parts.token_works()
        if not answer.ok and not (word.kind == "ack" and answer.status == 409):
            log(f"{word.about or word.device_id}: {word.kind} not taken: {answer.said}")
        self._parts.spool.done(held)
        if word.kind == "report":
            self._parts.told(word.device_id)

    async def _tell(self, held: Held, timeout: float | None) -> Answer:
        word, server, body = held.word, self._parts.server, held.word.body.encode()
        if word.kind == "ack":
            return await server.ack(word.device_id, word.about, body, timeout=timeout)
        if word.kind == "report":
            return await server.report(word.device_id, word.about, body, timeout=timeout)
        return await server.heartbeat(word.device_id, body, timeout=timeout)
