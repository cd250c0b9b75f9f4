"""The long poll: always one open while there is no channel, so that a command comes within a moment of being made."""

import asyncio

from rolltape.recorder.heard import PendingHeard, offers, time_of
from rolltape.recorder.intake import Intake
from rolltape.recorder.log import log
from rolltape.recorder.parts import Parts
from rolltape.recorder.transport import TokenEnded, Unreachable

_TOO_SOON_SEC = 1.0


class Poll:
    """The loop that waits for offers."""

    def __init__(self, parts: Parts, intake: Intake) -> None:
        self._parts = parts
        self._intake = intake

    async def run(self) -> None:
        """Until the token ends; it begins once a heartbeat has said who we are."""
        await self._parts.heard.wait()
        backoff = self._parts.backoff()
        failing = False
        while not self._parts.ended.is_set():
            try:
                spins = await self._unless_channel()
                if failing:
                    self._parts.bells.ring_all()
                failing = False
                if not spins:
                    backoff.succeeded()
                    continue
                pause = backoff.next()
            except Unreachable as trouble:
                log(f"no poll: {trouble}")
                failing = True
                pause = max(backoff.next(), trouble.retry_after or 0.0)
            except TokenEnded:
                await self._parts.end_token()
                return
            await self._parts.clock.sleep(pause)

    async def _unless_channel(self) -> bool:
        """One poll, as soon as the channel is missing; broken off when that comes back."""
        channel = self._parts.channel
        await channel.missing.wait()
        poll, back = asyncio.create_task(self._once()), asyncio.create_task(channel.up.wait())
        try:
            await asyncio.wait({poll, back}, return_when=asyncio.FIRST_COMPLETED)
            return poll.result() if poll.done() else False
        finally:
            poll.cancel()
            back.cancel()

    async def _once(self) -> bool:
        """One poll; whether it came back at once with nothing new, which must not be done again at once."""
        answer = await self._parts.api.pending()
        if not answer.ok:
            raise Unreachable(f"the server answered {answer.status} {answer.error.code}")
        heard = answer.read(PendingHeard)
        server_ms = time_of(heard.server_time)
        if server_ms is not None and self._parts.settings.is_trusted:
            self._parts.trusted.hear(server_ms, None)
        news = self._intake.take(offers(heard.commands))
        return news == 0 and self._parts.clock.monotonic() - answer.sent < _TOO_SOON_SEC
