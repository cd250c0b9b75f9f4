"""The SDK's calls over the fleet's own connections: what is sent, read, retried and raised is the SDK's own."""

import asyncio
from typing import TypeVar
from urllib.parse import urlsplit

from rolltape.clock import Clock
from rolltape.sdk.drive import run_async
from rolltape.sdk.exchange import Policy, Session
from rolltape.sdk.request import Request
from rolltape.sdk.steps import Answer, NoAnswer, Outcome, Send, ask
from rolltape.sdk.transport import Async
from rolltape.simulate.dice import Dice
from rolltape.simulate.pool import Origin, Pool, Reply

T = TypeVar("T")


class PoolHands(Async):
    """Takes the SDK's steps on a pool. `loss`: the part of the backend's answers that get lost."""

    def __init__(self, pool: Pool, url: str, origin: Origin, api_key: str, clock: Clock, dice: Dice) -> None:
        headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}
        self.session = Session(url, headers, Policy(timeout=30, deadline=300, max_tries=60))
        self.clock = clock
        self._pool = pool
        self._host = origin.host_header
        self._dice = dice
        self.loss = 0.0

    async def call(self, request: Request[T]) -> T:
        """The answer to a call, as the SDK's client gives it. Raises what that raises."""
        return await run_async(self, ask(request))

    async def send(self, step: Send) -> Outcome:
        """One request, its whole answer, unless that is lost."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pool.call(self._bytes_of(step), lambda got: None if reply.done() else reply.set_result(got))
        got = await reply
        if got.status == 0 or self._dice.happens(self.loss):
            return NoAnswer(sent=True, why="no answer came, or it was lost")
        return Answer(got.status, {} if got.retry_after is None else {"retry-after": got.retry_after}, got.body)

    def _bytes_of(self, step: Send) -> bytes:
        parts = urlsplit(step.url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        content = step.content if isinstance(step.content, bytes) else b""
        head = [f"{step.method} {target} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(content)}"]
        head += [f"{name}: {value}" for name, value in step.headers.items()]
        return "\r\n".join([*head, "", ""]).encode("latin-1") + content
