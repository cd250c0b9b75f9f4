"""The central: it scans, recognises the devices that it may serve, and visits them in turn, a few at once."""

import asyncio
from collections import OrderedDict

from rolltape.relay.carry import Carrier
from rolltape.relay.link import LinkLost
from rolltape.relay.log import log
from rolltape.relay.parts import Parts
from rolltape.relay.radio import NoRadio, Radio, Sighting
from rolltape.relay.serve import NotOurs
from rolltape.relay.session import Session
from rolltape.relay.talk import Junk
from rolltape.relay.token import TokenEnded
from rolltape.relay.turns import Turns
from rolltape.wire.ble.service import recognise

_LOOK_SEC = 0.5
_MOST_KNOWN_TAGS = 4096
_RADIO_AGAIN_SEC = 10.0


class Tags:
    """Whose tag it is. Strangers are remembered too, so that a crowd costs nothing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known: OrderedDict[bytes, str | None] = OrderedDict()

    def forget(self) -> None:
        """The devices have changed."""
        self._known.clear()

    def whose(self, tag: bytes) -> str | None:
        """The device's id; None for a stranger."""
        if tag not in self._known:
            self._known[tag] = recognise(tag, [*self._parts.devices, *self._parts.former])
            if len(self._known) > _MOST_KNOWN_TAGS:
                self._known.popitem(last=False)
        return self._known[tag]


class Central:
    """The loop that visits devices."""

    def __init__(self, parts: Parts, carrier: Carrier, radio: Radio) -> None:
        self._parts, self._carrier, self._radio = parts, carrier, radio
        self.tags = Tags(parts)
        settings = parts.settings
        self.turns: Turns[Sighting] = Turns(settings.visit_sec, settings.backoff_first_sec, settings.backoff_most_sec)
        self._visits: dict[str, asyncio.Task[None]] = {}
        self.sessions: dict[str, Session] = {}
        self.no_radio: asyncio.Future[NoRadio] = asyncio.get_running_loop().create_future()
        """Set where there was no radio from the start: then there is nothing to wait for."""
        self._has_scanned = False

    async def run(self) -> None:
        """For ever; where the radio goes away, it is looked for again and again."""
        while True:
            try:
                async with self._radio.scanning(self._seen):
                    self._has_scanned = True
                    await self._go_round()
            except NoRadio as trouble:
                if not self._has_scanned and not self.no_radio.done():
                    self.no_radio.set_result(trouble)
                log(str(trouble))
                await self._parts.clock.sleep(_RADIO_AGAIN_SEC)
            finally:
                await self._end_visits()

    def devices_changed(self) -> None:
        """The server has said whom this relay may serve."""
        self.tags.forget()
        self.turns.keep(self._parts.devices.keys() | self._parts.former.keys())

    def nudge(self, device_id: str) -> None:
        """Something of the device has reached the server."""
        if session := self.sessions.get(device_id):
            session.nudge()

    def network_is_back(self) -> None:
        """The server was heard again: those who were told otherwise may ask it now."""
        for session in self.sessions.values():
            session.network_is_back()

    def grants_came(self, device_id: str) -> None:
        """There is something for the device."""
        if session := self.sessions.get(device_id):
            session.grants_came()
        self._parts.bells.central.ring()

    def revoked(self, device_id: str, command_id: str) -> None:
        """A command is no longer to be done."""
        if session := self.sessions.get(device_id):
            session.revoke(command_id)

    def _seen(self, sighting: Sighting) -> None:
        device_id = self.tags.whose(sighting.tag)
        if device_id is not None:
            self.turns.seen(device_id, sighting, self._parts.clock.monotonic())
            if device_id not in self._visits:
                self._parts.bells.central.ring()

    def _wanted(self, device_id: str) -> bool:
        return bool(self._parts.grants.of(device_id))

    async def _go_round(self) -> None:
        while True:
            self._begin_visits()
            self._end_turns()
            await self._parts.bells.central.wait(_LOOK_SEC)

    def _begin_visits(self) -> None:
        while len(self._visits) < self._parts.settings.connections and not self._parts.token_ended.is_set():
            found = self.turns.next(self._parts.clock.monotonic(), self._visits, self._wanted)
            if found is None:
                return
            device_id, sighting = found
            visit = asyncio.create_task(self._visit(device_id, sighting))
            self._visits[device_id] = visit

    def _end_turns(self) -> None:
        """Who has nothing to say, or has had its turn, makes room for those who wait."""
        if self._parts.token_ended.is_set():
            for session in self.sessions.values():
                session.end()
            return
        now, settings = self._parts.clock.monotonic(), self._parts.settings
        if len(self._visits) < settings.connections or not self.turns.is_someone_due(now, self._visits, self._wanted):
            return
        for session in self.sessions.values():
            idle = session.is_idle and now - session.last_heard >= settings.idle_sec
            if idle or now - session.began >= settings.turn_sec:
                session.end()
                return

    async def _visit(self, device_id: str, sighting: Sighting) -> None:
        now = self._parts.clock.monotonic
        try:
            has_more = await self._converse(device_id, sighting)
            self.turns.visited(device_id, now(), has_more=has_more)
        except LinkLost as trouble:
            log(f"{device_id}: {trouble}")
            self.turns.failed(device_id, now())
        except Junk as junk:
            log(f"{device_id}: {junk}: left alone for a while")
            self.turns.leave_alone(device_id, now())
        except NotOurs:
            self.tags.forget()
            self.turns.leave_alone(device_id, now())
        except TokenEnded:
            self._parts.end_token()
        except Exception as error:
            log(f"fault with {device_id}: {type(error).__name__}: {error}")
            self.turns.failed(device_id, now())
        finally:
            self.sessions.pop(device_id, None)
            self._visits.pop(device_id, None)
            self._parts.bells.central.ring()

    async def _converse(self, device_id: str, sighting: Sighting) -> bool:
        """Whether there is more to be said. Raises LinkLost where nothing was said at all."""
        link = await self._radio.connect(sighting, self._parts.settings.connect_timeout_sec)
        session = Session(self._parts, self._carrier, device_id, link)
        self.sessions[device_id] = session
        try:
            await session.run()
        except LinkLost as lost:
            if not session.was_useful:
                raise
            log(f"{device_id}: {lost}")
        return session.has_more

    async def _end_visits(self) -> None:
        waiting = set(self._visits.values())
        while waiting:
            for task in waiting:
                task.cancel()
            _, waiting = await asyncio.wait(waiting, timeout=0.5)
