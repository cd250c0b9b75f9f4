"""The MQTT route of one node: what devices say comes in from the broker, offers and answers go out to it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

from rolltape.delivery.mqtt.broker import Broker, Nowhere
from rolltape.delivery.mqtt.pushing import Pushing
from rolltape.delivery.mqtt.taking import Taking
from rolltape.domain.principal import DevicePrincipal
from rolltape.domain.rows import BoundRow
from rolltape.service.context import Services
from rolltape.service.presence import online_until
from rolltape.store.inputs import StateDelta
from rolltape.wire.mqtt import UP, Place

MOST_AT_ONCE: Final = 10_000
"""So many messages are in hand at the most. More of those that the broker doesn't hold back are dropped: they had no
answer, so their devices say them again."""
SECOND_LOOK_MS: Final = 3_000
"""What a device says is in the store within two seconds. Until then the other nodes don't know that it is here, and
what they make for it isn't pushed: so a device that is new here is looked at once more after that."""
MOST_KNOWN: Final = 500_000


class MqttRoute:
    """`frames` counts what devices said, by kind; `refused` what of it was refused, by code; `lost` what could not be
    said, as the broker was away."""

    log = logging.getLogger("rolltape.mqtt")

    def __init__(self, app: Services, over_rate: Callable[[str], float] = lambda device_id: 0.0) -> None:
        """`over_rate` counts one message of a device: in how many seconds it may say it again, 0 where it may now."""
        self.app = app
        self.over_rate = over_rate
        self.broker: Broker = Nowhere()
        self.frames: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.lost = 0
        self.pushing = Pushing(self)
        self._taking = Taking(self)
        self._tasks: set[asyncio.Task[None]] = set()
        self._here: dict[str, int] = {}
        self._second_looks: dict[str, int] = {}

    @property
    def is_idle(self) -> bool:
        """Whether all that came has been dealt with."""
        return not self._tasks and self.pushing.is_idle

    def hear(self, place: Place, payload: bytes, done: Callable[[], None]) -> None:
        """What a device said. `done` is called once that is durable, or was refused."""
        if place.leaf not in UP or len(self._tasks) >= MOST_AT_ONCE:
            done()
            return
        self.frames[place.leaf] += 1
        task = asyncio.get_running_loop().create_task(self._take(place, payload, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, place: Place, payload: bytes, done: Callable[[], None]) -> None:
        try:
            await self._taking.take(place, payload)
        except Exception:
            self.log.exception("a %s could not be taken", place.leaf)
        finally:
            done()

    def say(self, place: Place, payload: bytes, *, sure: bool, expiry_sec: int) -> None:
        """To a device. What the broker doesn't take is lost: offers are made again, and questions asked again."""
        if not self.broker.say(place, payload, sure=sure, expiry_sec=expiry_sec):
            self.lost += 1

    def heard_of(self, who: DevicePrincipal) -> None:
        """A device is there, by way of the broker."""
        now = self.app.clock.now_ms()
        until = online_until(now, who.heartbeat_sec)
        self.app.store.note_state(
            who.device_id, StateDelta(tenant_n=who.tenant.n, online_until=until, mqtt_until=until, seen_at=now)
        )
        if self.app.wakeups.bus is not None and self._here.get(who.device_id, 0) <= now:
            self._second_looks[who.device_id] = now + SECOND_LOOK_MS
        self._here[who.device_id] = until

    def is_there(self, bound: BoundRow, now: int) -> bool:
        """Whether the device can be reached by way of the broker, as far as is known here or in the store."""
        return max(bound.mqtt_until or 0, self._here.get(bound.device_id, 0)) > now

    def sweep(self) -> int:
        """What the worker does each second; how many devices have something in hand."""
        now = self.app.clock.now_ms()
        if len(self._here) > MOST_KNOWN:
            self._here = {device_id: until for device_id, until in self._here.items() if until > now}
        for device_id in [id_ for id_, at in self._second_looks.items() if at <= now]:
            del self._second_looks[device_id]
            self.pushing.woken(device_id)
        return self.pushing.sweep(self.app.clock.monotonic())

    async def run(self) -> None:
        """Keeps the broker and pushes, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.broker.run())
            group.create_task(self.pushing.run())

    async def drain(self, seconds: float) -> None:
        """Takes nothing new, and finishes what is in hand."""
        await self.broker.leave()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)
