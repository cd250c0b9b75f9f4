"""Giving grants to a device: one at a time, each answered by a RESULT before the next."""

import asyncio

from rolltape.backoff import Wake
from rolltape.relay.grants import HeldGrant
from rolltape.relay.log import log
from rolltape.relay.parts import Parts
from rolltape.relay.talk import Talk
from rolltape.wire.ble.frames import ResultCode
from rolltape.wire.ble.to_device import Grant, Revoke
from rolltape.wire.ble.to_relay import Result

_RESULT_SEC = 15.0
_BUSY_SEC = 2.0
_MOST_REVOKED = 100
_AGAIN_SEC = 30.0
"""A grant that the device took without a word since is given once more after so long."""


class Giver:
    """The loop that gives grants."""

    def __init__(self, parts: Parts, device_id: str, talk: Talk) -> None:
        self._parts, self._device_id, self._talk = parts, device_id, talk
        self._revoked: list[str] = []
        self._given: dict[str, float] = {}
        self._result: asyncio.Future[Result] | None = None
        self.bell = Wake(parts.clock)

    @property
    def is_busy(self) -> bool:
        """Whether a grant waits to be given."""
        return self._result is not None or self._next() is not None

    def revoke(self, command_id: str) -> None:
        """A hint for the device: the command is no longer to be done."""
        if len(self._revoked) < _MOST_REVOKED:
            self._revoked.append(command_id)
        self.bell.ring()

    def heard(self, result: Result) -> None:
        """How the device took the grant."""
        if self._result is not None and not self._result.done():
            self._result.set_result(result)

    def has(self, command_id: str) -> None:
        """The device has spoken of the command: it needs no grant of it any more."""
        self._parts.grants.drop(self._device_id, command_id)
        self._given.pop(command_id, None)

    async def run(self) -> None:
        """For ever. Raises LinkLost."""
        while True:
            while self._revoked:
                await self._talk.say(Revoke(self._revoked.pop(0)))
            grant = self._next()
            if grant is None:
                await self.bell.wait(_AGAIN_SEC)
            elif not await self._give(grant):
                await self.bell.wait(_BUSY_SEC)

    def _next(self) -> HeldGrant | None:
        now = self._parts.clock.monotonic()
        held = self._parts.grants.of(self._device_id)
        return next((grant for grant in held if self._given.get(grant.id, -1e9) + _AGAIN_SEC <= now), None)

    async def _give(self, grant: HeldGrant) -> bool:
        """Whether to go on with the next at once."""
        self._result = asyncio.get_running_loop().create_future()
        try:
            await self._talk.say(Grant(grant.cwt))
            result = await self._parts.clock.wait(self._result, _RESULT_SEC)
        finally:
            self._result = None
        if result is None or result.code == ResultCode.BUSY:
            return False
        self._given[grant.id] = self._parts.clock.monotonic()
        if result.code != ResultCode.OK:
            log(f"{grant.id}: refused by its device: {result.detail or result.code}")
            self._parts.grants.drop(self._device_id, grant.id)
        return True
