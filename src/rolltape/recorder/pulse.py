"""The heartbeat: what the device is and has, when the server wants it; and what the server says in answer."""

from rolltape.recorder.heard import AckHeard, HeartbeatHeard, ResultHeard, each, offers, time_of
from rolltape.recorder.intake import Intake
from rolltape.recorder.log import log
from rolltape.recorder.obey import Obey
from rolltape.recorder.parts import Parts
from rolltape.recorder.report import Reports
from rolltape.recorder.state import state_of
from rolltape.recorder.transport import TokenEnded, Unreachable

SPACING_SEC = 0.25
"""News that comes together goes together."""
LOST_RETRY_SEC = 10


class Pulse:
    """The loop that heartbeats."""

    def __init__(self, parts: Parts, intake: Intake, obey: Obey, reports: Reports) -> None:
        self._parts = parts
        self._intake = intake
        self._obey = obey
        self._reports = reports
        self._next = 0.0

    async def run(self) -> None:
        """Until the token ends. A channel's hello is a heartbeat too: the first waits until there is one, or none."""
        backoff = self._parts.backoff()
        await self._parts.channel.settled()
        await self._parts.bells.beat.wait(max(0.0, self._next - self._parts.clock.monotonic()))
        while not self._parts.ended.is_set():
            try:
                pause = await self.beat()
                backoff.succeeded()
            except Unreachable as trouble:
                log(f"no heartbeat: {trouble}")
                pause = backoff.next()
                if trouble.retry_after is not None:
                    await self._parts.clock.sleep(trouble.retry_after)
                    continue
            except TokenEnded:
                await self._parts.end_token()
                return
            await self._parts.bells.beat.wait(pause)
            await self._parts.clock.sleep(min(pause, SPACING_SEC))

    async def beat(self) -> float:
        """One heartbeat; answers in how many seconds the server wants the next."""
        answer = await self._parts.api.heartbeat(self.body())
        if not answer.ok:
            raise Unreachable(f"the server answered {answer.status} {answer.error.code}")
        return await self.take(answer.read(HeartbeatHeard), answer.sent, answer.by_broker)

    async def take(self, heard: HeartbeatHeard, sent: float, by_broker: bool | None = None) -> float:
        """Take an answer to what was said at `sent`, by the monotonic timer; in how many seconds the next is wanted.

        `by_broker`: see Answer. Time counts from a broker that nobody else can speak for. Keys and the floor of a
        replay record, with which a broker could make up commands, count from the server alone.
        """
        self._learn(heard, sent, by_broker is not False)
        await self._take_keys(heard, by_broker is not None)
        for ack in each(heard.acks, AckHeard):
            self._obey.heard_go(ack.id, ack.go, ack.status)
        for result in each(heard.results, ResultHeard):
            self._reports.heard(result)
        self._intake.take(offers(heard.commands))  # before the floor: they were minted before the record was lost
        if by_broker is None:
            self._restore_replay_record(heard)
        if not self._parts.heard.is_set():
            self._parts.heard.set()
            self._parts.bells.ring_all()
        await self._end_when_full()
        pause = min(max(heard.next_heartbeat_sec, 1.0), 3600.0)
        pause = min(pause, LOST_RETRY_SEC) if self._parts.replay.lost else pause
        self._next = self._parts.clock.monotonic() + pause
        return pause

    def body(self) -> dict[str, object]:
        """What a heartbeat says now."""
        extras = {"acks": self._obey.awaiting_go, "results": self._reports.for_heartbeat()}
        return state_of(self._parts) | {name: items for name, items in extras.items() if items}

    def _learn(self, heard: HeartbeatHeard, sent: float, is_trusted: bool) -> None:
        parts = self._parts
        server_ms = time_of(heard.server_time)
        if server_ms is not None and parts.settings.is_trusted and is_trusted:
            parts.trusted.hear(server_ms, sent)
        parts.identity.learn(
            device_id=heard.device_id,
            iss=heard.grant_iss,
            generation=heard.binding_generation,
            project_id=heard.project_id,
        )
        parts.own_replay_record()

    async def _take_keys(self, heard: HeartbeatHeard, by_broker: bool) -> None:
        """Keys count only from a server that can be trusted to be itself: what a broker brings says only to ask it."""
        parts = self._parts
        if not parts.settings.is_trusted:
            return
        jwks = None if by_broker else heard.grant_keys
        if jwks is None and (parts.keys.wants_keys or heard.grant_keys is not None):
            answer = await parts.api.keys()
            jwks = answer.read(dict) if answer.ok else None
        if jwks is not None:
            try:
                if parts.keys.take(jwks):
                    parts.bells.beat.ring()  # the server signs with a key only once it has heard that it is held
            except ValueError as error:
                log(f"the server's grant keys can't be used: {error}")

    def _restore_replay_record(self, heard: HeartbeatHeard) -> None:
        """A floor that anybody could have made up might lie too low, or above every grant for ever."""
        floor = heard.seq_floor if self._parts.settings.is_trusted else None
        if self._parts.replay.lost and floor is not None and 0 <= floor < 2**63:
            self._parts.replay.restore(floor)
            log(f"the replay record begins again above {floor}")

    async def _end_when_full(self) -> None:
        if self._parts.studio.running is not None and self._parts.studio.is_storage_full:
            log("the disk is nearly full: the recording ends here")
            await self._parts.studio.stop_if()
