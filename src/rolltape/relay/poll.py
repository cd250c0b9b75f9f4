"""What the gateway asks the server for by itself: what waits, by a long poll, and whom it may serve."""

from collections.abc import Callable

from rolltape.relay.line import Answer, Unreachable
from rolltape.relay.log import log
from rolltape.relay.parts import Parts
from rolltape.relay.server import CommandsHeard, DeviceHeard
from rolltape.relay.token import TokenEnded
from rolltape.wire.times import parse

DEVICES_SEC = 60.0
"""So often the server is asked for the devices, and whenever one turns out to be unknown."""
_MOST_FORMER = 1000


class Poll:
    """The loop that holds a poll open."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._cursor: str | None = None

    async def run(self) -> None:
        """For ever."""
        backoff = self._parts.backoff()
        while True:
            try:
                await self._one()
                backoff.succeeded()
            except Unreachable as trouble:
                if trouble.offline:
                    self._parts.network.lost(trouble)
                await self._parts.clock.sleep(max(backoff.next(), trouble.retry_after or 0.0))
            except TokenEnded:
                await self._parts.new_token()

    async def _one(self) -> None:
        was_away = not self._parts.network.online
        wait = 0 if was_away else self._parts.settings.poll_wait_sec
        heard = await self._parts.server.commands(self._cursor, wait)
        if isinstance(heard, Answer):
            self._cursor = None  # a cursor that the server can't read any more
            raise Unreachable(heard.said)
        self._parts.token_works()
        if was_away:
            self._parts.bells.carry.ring()
            self._parts.bells.upload.ring()
        self._take(heard)

    def _take(self, heard: CommandsHeard) -> None:
        self._cursor = heard.cursor
        self._parts.grants.revoke(heard.revoked_ids)
        try:
            server_ms = parse(heard.server_time or "")
        except ValueError:
            server_ms = self._parts.clock.now_ms()
        self._parts.grants.take(heard.offers, server_ms)
        if any(offer.device_id not in self._parts.devices for offer in heard.offers):
            self._parts.bells.devices.ring()


class Register:
    """The loop that asks for the devices."""

    def __init__(self, parts: Parts, changed: Callable[[], None]) -> None:
        self._parts, self._changed = parts, changed

    async def run(self) -> None:
        """For ever."""
        backoff = self._parts.backoff()
        while True:
            try:
                found = await self._parts.server.devices()
                if isinstance(found, Answer):
                    raise Unreachable(found.said)
                self._parts.token_works()
                self._take({device.id: device for device in found})
                backoff.succeeded()
                await self._parts.bells.devices.wait(DEVICES_SEC)
            except Unreachable as trouble:
                if trouble.offline:
                    self._parts.network.lost(trouble)
                await self._parts.clock.sleep(max(backoff.next(), trouble.retry_after or 0.0))
            except TokenEnded:
                await self._parts.new_token()

    def _take(self, devices: dict[str, DeviceHeard]) -> None:
        if devices.keys() != self._parts.devices.keys():
            log(f"{len(devices)} devices may be served")
        parts = self._parts
        for gone in parts.devices.keys() - devices.keys():
            parts.grants.clear(gone)
            parts.former[gone] = parts.devices[gone]
        for id_ in [id_ for id_ in parts.former if id_ in devices] + list(parts.former)[:-_MOST_FORMER]:
            parts.former.pop(id_, None)
        parts.devices.clear()
        parts.devices.update(devices)
        self._changed()
