"""One live channel: what its device says goes through the same services as over HTTP, what waits for it is pushed.

An idle channel costs no task and no timer of its own: a wake-up starts a task that looks and pushes, and the sweep over
all channels does the rest. A channel does one thing at a time: while a frame of the device is being taken nothing is
pushed, so that the device never hears as news what it has just said itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from rolltape.codes import Code, Problem
from rolltape.delivery import heartbeat as heartbeats
from rolltape.delivery.items import status_in, take_result
from rolltape.delivery.ledger import Ledger
from rolltape.delivery.offering import offers_for
from rolltape.domain.principal import DevicePrincipal
from rolltape.service import presence, reports
from rolltape.service.auth import device_of_token
from rolltape.service.grants import held_kids
from rolltape.store.inputs import DeviceFacts
from rolltape.wire import channel as wire
from rolltape.wire.channel import Close, encode
from rolltape.wire.heartbeat import Connection, Heartbeat, HeartbeatAnswer

if TYPE_CHECKING:
    from rolltape.delivery.channels import Channels

SEND_SEC: Final = 30
"""A device that has not read for so long is cut off."""
LEAVE_SEC: Final = 2.0
"""When the server ends, a frame that is being taken gets its answer if it takes no longer."""
MOST_URGENT: Final = 2
"""So many go first: a reset, and the newest stop, which has cleared away those before it."""
NOTE_SEC: Final = 60
"""How often an open channel is noted as a sign that its device is there."""


class Line(Protocol):
    """The connection under a channel. Its calls raise OSError once it is gone."""

    async def send(self, text: str) -> None:
        """One frame; comes back when there is room for the next."""
        ...

    async def close(self, code: int, reason: str) -> None: ...
    def abort(self) -> None:
        """Cuts it, whatever waits to be sent."""
        ...


class Channel:
    """The channel of one device. `token_hash` is of the token that it was opened with."""

    __slots__ = (
        "_again",
        "_channels",
        "_heard_at",
        "_ledger",
        "_line",
        "_lock",
        "_metered",
        "_noted_at",
        "_pings",
        "_pushing",
        "_stuck_since",
        "_to_note",
        "_token_hash",
        "closed",
        "greeted",
        "who",
    )

    def __init__(self, channels: "Channels", who: DevicePrincipal, token_hash: bytes, line: Line, now: float) -> None:
        self.who = who
        self.closed = False
        self.greeted = False
        self._channels = channels
        self._token_hash = token_hash
        self._line = line
        self._ledger = Ledger()
        self._heard_at = now
        self._noted_at = now - hash(who.device_id) % NOTE_SEC  # thousands that come at once are noted one by one
        self._stuck_since: float | None = None
        self._pings = 0
        self._metered = False
        self._lock = asyncio.Lock()
        self._again = False
        self._pushing = False
        self._to_note = False

    # What the device says

    def heard(self) -> None:
        """A frame has come, whatever is in it."""
        self._heard_at = self._channels.app.clock.monotonic()
        self._pings = 0

    async def take(self, frame: wire.DeviceFrame) -> None:
        """One frame. Raises Problem: invalid_request, token_revoked, unauthorized, unavailable: nothing was done."""
        async with self._lock:
            await _TAKERS[type(frame)](self, frame)

    async def _hello(self, frame: wire.Hello) -> None:
        if self.greeted:
            raise Problem(Code.INVALID_REQUEST, "A channel has one hello, its first frame. Send a heartbeat instead.")
        if frame.v != wire.VERSION:
            raise Problem(Code.INVALID_REQUEST, f"This server speaks version {wire.VERSION} of the channel.", param="v")
        answer = await self._beat(frame)
        self._ledger.resume(frame.have or (), self._channels.app.clock.monotonic())
        self._settle_items(answer)
        self.greeted = True
        self._channels.greeted(self)
        ping_sec = wire.METERED_PING_SEC if self._metered else wire.PING_SEC
        await self.say(
            wire.HelloAnswer(v=wire.VERSION, ping_sec=ping_sec, silence_sec=self._silence_sec, **_fields(answer))
        )
        self.woken()

    async def _heartbeat(self, frame: wire.HeartbeatFrame) -> None:
        answer = await self._beat(frame)
        self._settle_items(answer)
        await self.say(wire.HeartbeatReply(ref=frame.ref, **_fields(answer)))
        self.woken()

    async def _beat(self, body: Heartbeat) -> HeartbeatAnswer:
        app = self._channels.app
        self.who = await device_of_token(app, self._token_hash)  # its facts may have changed since
        answer = await heartbeats.heartbeat(
            app, self.who, self.who.device_id, body, now=app.clock.now_ms(), route="channel"
        )
        if body.connection_type is not None:
            self._metered = _is_metered(body.connection_type)
        return answer

    def _settle_items(self, answer: HeartbeatAnswer) -> None:
        for ack in answer.acks:
            if ack.id is not None:
                self._ledger.take(ack.id) if ack.go else self._ledger.drop(ack.id)
        for result in answer.results:
            if result.id is not None and (result.ok or result.error is None or _is_final(result.error.code)):
                self._ledger.drop(result.id)

    async def _ack(self, frame: wire.Ack) -> None:
        app = self._channels.app
        try:
            go = await reports.acknowledge(
                app, self.who, self.who.device_id, frame.id, now=app.clock.now_ms(), route="channel"
            )
        except Problem as problem:
            if problem.code not in (Code.COMMAND_NO_GO, Code.NOT_FOUND):
                raise
            self._ledger.drop(frame.id)
            await self.say(wire.NoGoFrame(id=frame.id, status=status_in(problem)))
        else:
            self._ledger.take(frame.id)
            await self.say(wire.GoFrame(id=frame.id, status=go.status))

    async def _report(self, frame: wire.ReportFrame) -> None:
        app = self._channels.app
        told = await take_result(app, self.who, self.who.device_id, frame, app.clock.now_ms(), "channel")
        if told.ok or told.error is None or _is_final(told.error.code):
            self._ledger.drop(frame.id)
        await self.say(wire.ReportReply(id=told.id, ok=told.ok, status=told.status, error=told.error))

    async def _ping(self, frame: wire.Ping) -> None:
        await self.say(wire.Pong(ref=frame.ref))

    async def _pong(self, frame: wire.Pong) -> None:
        """That it was heard is all."""

    # What the server says

    async def say(self, frame: wire.ServerFrame) -> None:
        """Sends one frame. That the line is gone is for its reader to notice."""
        if self.closed:
            return
        first = self._stuck_since is None
        if first:
            self._stuck_since = self._channels.app.clock.monotonic()
        try:
            await self._line.send(encode(frame))
        except OSError:
            self.closed = True
        finally:
            if first:
                self._stuck_since = None

    async def end(self, code: Close, reason: str) -> None:
        """Closes it. One whose device doesn't read is cut: at once where that is known, else by the sweep."""
        if self.closed:
            return
        self.closed = True
        if self._stuck_since is not None:
            self._line.abort()
            return
        self._stuck_since = self._channels.app.clock.monotonic()
        try:
            await self._line.close(code, reason)
        except OSError:
            pass
        finally:
            self._stuck_since = None

    async def leave(self, code: Close, reason: str) -> None:
        """Closes it once the frame that is being taken has its answer, if that is soon."""
        try:
            async with asyncio.timeout(LEAVE_SEC), self._lock:
                await self.end(code, reason)
        except TimeoutError:
            await self.end(code, reason)

    def woken(self) -> None:
        """Something may have changed: a task looks, unless one is about to."""
        self._again = True
        if self.greeted and not (self._pushing or self.closed):
            self._pushing = True
            self._channels.spawn(self._push())

    async def _push(self) -> None:
        try:
            async with self._lock:  # until there is no more news: what the device says next is answered after it
                while self._again and not self.closed:
                    self._again = False
                    if self._to_note:
                        self._to_note = False
                        await self._note()
                    if not self.closed:
                        await self._look()
        except Problem:
            self._again = True  # the store can't at the moment; the sweep looks again
        finally:
            self._pushing = False

    async def _look(self) -> None:
        app, who = self._channels.app, self.who
        device = await self._device()
        if device is None:
            await self.end(Close.REVOKED, "the binding is over")
            return
        await self._revoke()
        if not await app.store.anything_pending(who.device_id):
            return
        room = self._ledger.room(app.clock.monotonic())
        if room > 0:
            await self._offer(device, limit=room)
        if room < MOST_URGENT:
            await self._offer(device, limit=MOST_URGENT, only_urgent=True)

    async def _offer(self, device: DeviceFacts, *, limit: int, only_urgent: bool = False) -> None:
        """Offers what is not in hand. A reset and a stop wait for nobody's acknowledgement."""
        app, who, now = self._channels.app, self.who, self._channels.app.clock.monotonic()
        offers, _ = await offers_for(
            app,
            who.device_id,
            who.generation,
            device.grant_alg,
            held_kids(device),
            "channel",
            app.clock.now_ms(),
            but=self._ledger.quiet(now),
            limit=limit,
            only_urgent=only_urgent,
        )
        if offers:
            await self._revoke()  # what these took the place of was closed before them, and is told before them
        self._ledger.offered((offer.id for offer in offers), now)
        for offer in offers:
            await self.say(wire.OfferFrame(command=offer))

    async def _revoke(self) -> None:
        """Tells of what was offered and stands no more."""
        who = self.who
        if ids := self._ledger.ids():
            stand = await self._channels.app.store.statuses(who.device_id, who.generation, ids)
            for id_, status in self._ledger.settle(stand):
                await self.say(wire.Revoked(id=id_, status=status))

    async def _device(self) -> DeviceFacts | None:
        """The device's facts as they are now; None once the binding is over."""
        try:
            device = await self._channels.app.store.device_facts(self.who.tenant.n, self.who.device_id)
        except Problem as problem:
            if problem.code != Code.NOT_FOUND:
                raise
            return None  # it was deleted
        return device if device.bound and device.generation == self.who.generation else None

    # What the sweep does

    @property
    def is_stuck(self) -> bool:
        """Whether a frame waits for the device to read."""
        return self._stuck_since is not None

    @property
    def _silence_sec(self) -> int:
        return wire.METERED_SILENCE_SEC if self._metered else wire.SILENCE_SEC

    def sweep(self, now: float) -> None:
        """Looks after it at `now` (monotonic): silence, a device that doesn't read, what is to be offered again."""
        is_stuck = self._stuck_since is not None and now - self._stuck_since >= SEND_SEC
        if self.closed:
            if is_stuck:
                self._line.abort()
            return
        silence = now - self._heard_at
        if is_stuck:
            self._end_soon(Close.SILENCE, "the device doesn't read")
        elif not self.greeted:
            if silence >= wire.HELLO_SEC:
                self._end_soon(Close.NO_HELLO, f"no hello within {wire.HELLO_SEC} s")
        elif silence >= self._silence_sec:
            self._end_soon(Close.SILENCE, f"no frame for {self._silence_sec} s")
        else:
            self._tend(now, silence)

    def _end_soon(self, code: Close, reason: str) -> None:
        self._channels.spawn(self.end(code, reason))

    def _tend(self, now: float, silence: float) -> None:
        if not self._metered and silence >= wire.PING_SEC * (self._pings + 1):
            self._pings += 1
            self._channels.spawn(self.say(wire.Ping()))
        if now - self._noted_at >= NOTE_SEC:
            self._noted_at = now
            self._to_note = True
            self.woken()
        elif self._again or self._ledger.is_due(now):
            self.woken()

    async def _note(self) -> None:
        """A sign of life of the device; a look follows, should a wake-up have been lost."""
        app = self._channels.app
        try:
            self.who = await device_of_token(app, self._token_hash)
        except Problem as problem:
            if problem.code == Code.UNAVAILABLE:
                raise
            await self.end(*closing(problem))
            return
        presence.touch(app, self.who, app.clock.now_ms())


def closing(problem: Problem) -> tuple[Close, str]:
    """How a channel ends that can't go on because of this refusal."""
    if problem.code == Code.TOKEN_REVOKED:
        return Close.REVOKED, "the binding is over"
    if problem.code == Code.UNAUTHORIZED:
        return Close.TOKEN_REPLACED, "the token was replaced by a newer one"
    if problem.code == Code.INVALID_REQUEST:
        return Close.NO_HELLO, "this is no hello"
    return Close.TRY_LATER, "not at the moment"


def _is_metered(connections: list[Connection]) -> bool:
    return "4g" in connections and "wifi" not in connections


def _is_final(code: str) -> bool:
    """Whether a report that was refused so need not come again."""
    return code in (Code.RESULT_CONFLICT, Code.NOT_FOUND)


def _fields(answer: HeartbeatAnswer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in answer.__struct_fields__}


_TAKERS: Final[dict[type, Callable[[Channel, Any], Awaitable[None]]]] = {
    wire.Hello: Channel._hello,
    wire.HeartbeatFrame: Channel._heartbeat,
    wire.Ack: Channel._ack,
    wire.ReportFrame: Channel._report,
    wire.Ping: Channel._ping,
    wire.Pong: Channel._pong,
}
