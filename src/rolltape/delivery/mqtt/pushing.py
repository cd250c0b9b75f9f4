"""What waits for a device goes to the broker: when something changes, when the device speaks, and again if need be.

The node where a command was made or moved pushes, and no other: each has its own hands full. Whether a device is there
to be pushed to is in the store, so that any node knows, also one that has just started. Which command was offered a
moment ago is in the store too: two nodes that look at once don't offer the same twice.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from rolltape.codes import Problem
from rolltape.delivery.ledger import QUIET_SEC, Ledger
from rolltape.delivery.offering import offers_for
from rolltape.domain.lifecycle import is_open
from rolltape.domain.rows import BoundRow
from rolltape.service.auth import held_of
from rolltape.wire.channel import OfferFrame, Revoked
from rolltape.wire.command import Offer
from rolltape.wire.mqtt import OFFER, Place, payload_of
from rolltape.wire.times import parse

if TYPE_CHECKING:
    from rolltape.delivery.mqtt.route import MqttRoute

QUIET_MS: Final = int(QUIET_SEC * 1000)
MOST_URGENT: Final = 2
LOOKERS: Final = 32
"""So many devices are looked at at once."""
MOST_DIRTY: Final = 200_000
"""The most devices that wait to be looked at, and the most whose offers are looked after. The others' heartbeats do."""
LONGEST_SEC: Final = 320.0
"""An offer that nobody takes is made again after 10 s, and then after twice as long each time, at the most so long."""


@dataclass(slots=True)
class Hand:
    """What one device was offered by this node and has not taken. `again_at` is of the monotonic timer."""

    ledger: Ledger = field(default_factory=Ledger)
    wait: float = QUIET_SEC
    again_at: float = 0.0


class Pushing:
    """The devices that are to be looked at, and those that were offered something."""

    def __init__(self, route: "MqttRoute") -> None:
        self._route = route
        self._app = route.app
        self._dirty: OrderedDict[str, bool] = OrderedDict()
        self._something = asyncio.Semaphore(0)
        self._hands: OrderedDict[str, Hand] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.at_work = 0
        route.app.wakeups.listen_here(self.woken)
        route.app.wakeups.listen(self._heard_elsewhere)

    def __len__(self) -> int:
        """How many devices have an offer of this node in hand."""
        return len(self._hands)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits to be looked at, or is being."""
        return not (self._dirty or self.at_work)

    def woken(self, topic: str) -> None:
        """Something changed here: a look, soon, where it is a device that did."""
        if topic.startswith("dev_") and topic not in self._dirty and len(self._dirty) < MOST_DIRTY:
            self._dirty[topic] = True
            self._something.release()

    def _heard_elsewhere(self, topic: str) -> None:
        """Another node says so: then it is that one's, unless this one has something to take back."""
        if topic in self._hands:
            self.woken(topic)

    def sweep(self, now: float) -> int:
        """Looks again after those that have taken nothing for too long; how many are in hand."""
        for device_id, hand in tuple(self._hands.items()):
            if now >= hand.again_at:
                hand.again_at = now + hand.wait
                self.woken(device_id)
        return len(self._hands)

    async def run(self) -> None:
        """Looks, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(LOOKERS):
                group.create_task(self._look_on())

    async def _look_on(self) -> None:
        while True:
            await self._something.acquire()
            device_id, _ = self._dirty.popitem(last=False)
            self.at_work += 1
            try:
                await self._look_at(device_id)
            except Problem:
                self._later(device_id)
            except Exception:
                self._route.log.exception("a look at what waits for %s failed", device_id)
            finally:
                self.at_work -= 1

    def _later(self, device_id: str) -> None:
        self._hand(device_id).again_at = self._app.clock.monotonic() + 1.0

    async def _look_at(self, device_id: str) -> None:
        bound = await self._app.store.bound_device(device_id)
        if bound is None:
            self._hands.pop(device_id, None)
            return
        if self._route.is_there(bound, self._app.clock.now_ms()):
            await self.push(bound)
        else:
            self._hands.pop(device_id, None)  # it is away: its next word asks for what waits

    async def push(self, bound: BoundRow, have: list[str] | None = None) -> None:
        """Takes back what stands no more, and offers what waits.

        `have`: the device has just connected and holds these alone: whatever else was offered may have been lost.
        A store that can't at the moment is asked again later.
        """
        lock = self._locks.get(bound.device_id)
        if lock is None:
            lock = self._locks[bound.device_id] = asyncio.Lock()
        async with lock:
            try:
                await self._push(bound, have)
            except Problem:
                self._later(bound.device_id)

    async def _push(self, bound: BoundRow, have: list[str] | None) -> None:
        if not self._route.broker.is_up:
            self._later(bound.device_id)
            return
        await self._take_back(bound)
        if have is not None:
            self._hands.pop(bound.device_id, None)
        if not await self._app.store.anything_pending(bound.device_id):
            self._hands.pop(bound.device_id, None)
            return
        hand = self._hands.get(bound.device_id) or Hand()
        room = hand.ledger.room(self._app.clock.monotonic())
        offered = await self._offer(bound, have, limit=room) if room > 0 else 0
        if room < MOST_URGENT:
            offered += await self._offer(bound, have, limit=MOST_URGENT, only_urgent=True)
        if offered:
            hand = self._hand(bound.device_id)
            hand.wait = min(hand.wait * 2, LONGEST_SEC)

    async def _offer(self, bound: BoundRow, have: list[str] | None, *, limit: int, only_urgent: bool = False) -> int:
        app, now_ms = self._app, self._app.clock.now_ms()
        offers, _ = await offers_for(
            app,
            bound.device_id,
            bound.generation,
            bound.grant_alg,
            held_of(bound),
            "channel",
            now_ms,
            quiet_since=now_ms - QUIET_MS if have is None else None,
            but=tuple(have or ()),
            limit=limit,
            only_urgent=only_urgent,
        )
        if offers:
            hand, now = self._hand(bound.device_id), app.clock.monotonic()
            hand.ledger.offered((offer.id for offer in offers), now)
            hand.again_at = now + hand.wait
        for offer in offers:
            self._say(bound, OfferFrame(command=offer), seconds_left(offer, now_ms))
        return len(offers)

    async def _take_back(self, bound: BoundRow) -> None:
        """What was offered here and was cancelled or has expired, the device need not ask about. What it has taken is
        its own affair: another node may have heard of that."""
        hand = self._hands.get(bound.device_id)
        if hand is None or not (ids := hand.ledger.ids()):
            return
        stand = await self._app.store.statuses(bound.device_id, bound.generation, ids)
        for id_ in ids:
            status = stand.get(id_)
            if status == "pending":
                continue
            hand.ledger.drop(id_)
            hand.wait = QUIET_SEC  # the device is awake, or the backend has thought again
            if status is None or (not is_open(status) and status not in ("executed", "failed")):
                self._say(bound, Revoked(id=id_, status=status), 60)

    def _say(self, bound: BoundRow, frame: OfferFrame | Revoked, expiry_sec: int) -> None:
        place = Place(bound.project_id, bound.device_id, OFFER)
        self._route.say(place, payload_of(frame, bound.generation), sure=True, expiry_sec=expiry_sec)

    def _hand(self, device_id: str) -> Hand:
        hand = self._hands.get(device_id)
        if hand is None:
            hand = self._hands[device_id] = Hand()
            if len(self._hands) > MOST_DIRTY:
                self._hands.popitem(last=False)
        return hand


def seconds_left(offer: Offer, now_ms: int) -> int:
    """How long the broker need keep it."""
    return max(1, -(-(parse(offer.expires_at) - now_ms) // 1000))
