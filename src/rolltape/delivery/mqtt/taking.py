"""From a message to the service and back: what a device says by way of a broker is taken as on its live channel.

A message carries no credential: whose topic it came on is the broker's word, by the credential and the rules that the
server has given it. The generation in it tells one of a binding that is over, however late it comes.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rolltape.codes import Code, Problem
from rolltape.delivery import heartbeat as heartbeats
from rolltape.delivery.items import status_in, take_result
from rolltape.domain.principal import DevicePrincipal
from rolltape.domain.rows import BoundRow
from rolltape.service import reports
from rolltape.service.auth import principal_of_bound, revoked
from rolltape.service.params import invalid
from rolltape.wire.channel import (
    Ack,
    ErrorFrame,
    GoFrame,
    HeartbeatReply,
    NoGoFrame,
    ReportFrame,
    ReportReply,
    ServerFrame,
)
from rolltape.wire.mqtt import (
    ANSWER,
    ANSWER_EXPIRY_SEC,
    FRAME_LIMITS,
    UP,
    BrokerHeartbeat,
    Place,
    Spoken,
    payload_of,
    spoken_in,
)
from rolltape.wire.values import check_values, is_suspect, read_any

if TYPE_CHECKING:
    from rolltape.delivery.mqtt.route import MqttRoute

_DECODERS: Final[dict[str, Callable[[bytes], Any]]] = {
    leaf: msgspec.json.Decoder(frame).decode for leaf, frame in UP.items()
}
_MOST_SHOWN: Final = 2**53


class Taking:
    """Takes one message at a time, many of them at once."""

    def __init__(self, route: "MqttRoute") -> None:
        self._route = route
        self._app = route.app

    async def take(self, place: Place, payload: bytes) -> None:
        """One message, wholly: when this comes back it is durable, or was refused, and the device was told."""
        spoken = spoken_in(payload) if len(payload) <= FRAME_LIMITS[place.leaf] else None
        try:
            bound = await self._bound(place)
            if bound is None:
                raise revoked()
            await self._take(place, bound, spoken, payload)
        except Problem as problem:
            self._refuse(place, spoken, problem)

    async def _bound(self, place: Place) -> BoundRow | None:
        bound = await self._app.store.bound_device(place.device_id)
        return bound if bound is not None and bound.project_id == place.project_id else None

    async def _take(self, place: Place, bound: BoundRow, spoken: Spoken | None, payload: bytes) -> None:
        if spoken is None:
            most = FRAME_LIMITS[place.leaf]
            if len(payload) > most:
                raise Problem(
                    Code.PAYLOAD_TOO_LARGE, f"This message is longer than {most >> 10} KiB. Say less at once."
                )
            raise invalid("A message is a JSON object with a `type` and a `gen`. Send one.", "type")
        if type(spoken.gen) is not int:
            raise invalid("`gen` is missing: the binding_generation that bind and each heartbeat's answer tell.", "gen")
        if spoken.gen != bound.generation:
            raise revoked()
        if (wait := self._route.over_rate(place.device_id)) > 0:
            raise Problem(Code.RATE_LIMIT_EXCEEDED, f"Too many messages. Nothing was done; try again in {wait:.0f} s.")
        frame = _frame_in(place.leaf, payload)
        who = principal_of_bound(bound)
        self._route.heard_of(who)
        await _TAKERS[place.leaf](self, place, bound, who, frame)

    async def _heartbeat(self, place: Place, bound: BoundRow, who: DevicePrincipal, frame: BrokerHeartbeat) -> None:
        now = self._app.clock.now_ms()
        answer = await heartbeats.heartbeat(self._app, who, who.device_id, frame, now=now, route="channel")
        fields = {name: getattr(answer, name) for name in answer.__struct_fields__}
        self._answer(place, bound.generation, HeartbeatReply(ref=frame.ref, **fields))
        await self._route.pushing.push(bound, have=frame.have)  # after the answer, which tells the device the time

    async def _ack(self, place: Place, bound: BoundRow, who: DevicePrincipal, frame: Ack) -> None:
        app = self._app
        said: GoFrame | NoGoFrame
        try:
            go = await reports.acknowledge(app, who, who.device_id, frame.id, now=app.clock.now_ms(), route="channel")
            said = GoFrame(id=frame.id, status=go.status)
        except Problem as problem:
            if problem.code not in (Code.COMMAND_NO_GO, Code.NOT_FOUND):
                raise
            said = NoGoFrame(id=frame.id, status=status_in(problem))
        self._answer(place, bound.generation, said)

    async def _report(self, place: Place, bound: BoundRow, who: DevicePrincipal, frame: ReportFrame) -> None:
        told = await take_result(self._app, who, who.device_id, frame, self._app.clock.now_ms(), "channel")
        reply = ReportReply(id=told.id, ok=told.ok, status=told.status, error=told.error)
        self._answer(place, bound.generation, reply)

    def _answer(self, place: Place, generation: int, frame: ServerFrame) -> None:
        payload = payload_of(frame, generation)
        self._route.say(place._replace(leaf=ANSWER), payload, sure=False, expiry_sec=ANSWER_EXPIRY_SEC)

    def _refuse(self, place: Place, spoken: Spoken | None, problem: Problem) -> None:
        """Says what was wrong, under the generation that was named: no other binding's device listens to that."""
        gen = None if spoken is None else spoken.gen
        if type(gen) is not int or not 0 <= gen <= _MOST_SHOWN:
            gen = 0
        said = spoken or Spoken(type="")
        self._route.refused[problem.code.value] += 1
        frame = ErrorFrame(
            code=problem.code.value,
            message=problem.message,
            in_=place.leaf,
            id=said.shown_id,
            ref=said.shown_ref,
        )
        self._answer(place, gen, frame)


def _frame_in(leaf: str, payload: bytes) -> Any:
    """Raises Problem: invalid_request."""
    try:
        frame = _DECODERS[leaf](payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise invalid(f"This message can't be read: {error}.", leaf) from None
    if is_suspect(payload):
        check_values(read_any(payload))
    return frame


_TAKERS: Final[dict[str, Callable[..., Awaitable[None]]]] = {
    "heartbeat": Taking._heartbeat,
    "ack": Taking._ack,
    "report": Taking._report,
}
