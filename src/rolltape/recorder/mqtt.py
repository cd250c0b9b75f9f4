"""The live channel over an MQTT broker: the same frames, each on its topic; a session that keeps offers while away.

Who we are comes from the server itself, by a heartbeat over HTTP at the start; so do the keys that grants are checked
with. A broker can keep a command back, but it can't make one up.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from rolltape.backoff import Backoff
from rolltape.mqtt.address import Address, tls_of
from rolltape.mqtt.link import Link, LinkLost, LinkRefused, Manner, OtherVersion
from rolltape.recorder.heard import UNREADABLE, FrameHeard, offers
from rolltape.recorder.intake import Intake
from rolltape.recorder.log import log
from rolltape.recorder.obey import Obey
from rolltape.recorder.parts import Parts
from rolltape.recorder.refresh import refresh_token
from rolltape.recorder.transport import why
from rolltape.wire.channel import MAX_HAVE
from rolltape.wire.mqtt import DOWN, payload_of, spoken_in, topic

STEADY_SEC: Final = 30.0
KEEPALIVE_SEC: Final = 60
METERED_KEEPALIVE_SEC: Final = 240
REFRESH_SEC: Final = 3600.0
"""A broker that knows no more than this token's old shape is helped with a fresh one, so often at the most."""


class BrokerWire:
    """A link to a broker, as the channel sees it. `have`: what the first heartbeat says is in hand."""

    def __init__(self, link: Link, address: Address, own: tuple[str, str], generation: int, have: list[str]) -> None:
        self._have: list[str] | None = have
        self.by_broker: bool | None = address.is_trusted
        self._link = link
        self._own = own
        self._generation = generation

    async def send(self, frame: dict[str, Any]) -> None:
        """Raises OSError."""
        if frame["type"] == "heartbeat" and self._have is not None:
            frame, self._have = {**frame, "have": self._have}, None
        payload = payload_of(frame, self._generation)
        if not self._link.publish(topic(*self._own, frame["type"]), payload, 1, expiry_sec=60):
            raise OSError("the link to the broker is gone")

    def abort(self) -> None:
        self._link.cut()


class OnBroker:
    """The loop that keeps the link."""

    def __init__(self, parts: Parts, address: Address, intake: Intake, obey: Obey) -> None:
        self._parts = parts
        self._channel = parts.channel
        self._address = address
        self._intake = intake
        self._obey = obey
        self._version = 5
        self._refreshed_at: float | None = None

    async def run(self) -> None:
        """Until the token ends."""
        parts, settings = self._parts, self._parts.settings
        self._channel.missed()  # who we are is asked of the server itself
        await parts.heard.wait()
        backoff = Backoff(settings.channel_first_sec, settings.channel_most_sec, parts.random, least=0.0)
        while not parts.ended.is_set():
            began = parts.clock.monotonic()
            try:
                await self._once()
            except LinkRefused as trouble:
                log(f"the broker refuses this device: {trouble}")
                await self._refused()
            except OtherVersion:
                self._version = 4 if self._version == 5 else 5
                log(f"the broker speaks MQTT {'3.1.1' if self._version == 4 else '5'}")
                continue
            except (LinkLost, OSError) as trouble:
                log(f"no broker: {why(trouble)}")
            self._channel.missed()
            if parts.clock.monotonic() - began >= STEADY_SEC:
                backoff.succeeded()
            await parts.clock.sleep(backoff.next())

    async def _once(self) -> None:
        """One link, from its opening to its end. Raises LinkLost, LinkRefused, OtherVersion, OSError."""
        known, settings = self._parts.identity.known, self._parts.settings
        if known.device_id is None or known.project_id is None or known.generation is None:
            raise LinkLost("the server has not said yet who this device is")
        link = await self._open(known.device_id)
        own = (known.project_id, known.device_id)
        try:
            await link.subscribe([topic(*own, leaf) for leaf in DOWN], settings.http_timeout_sec)
            have = [entry.id for entry in self._parts.journal.open_entries()][:MAX_HAVE]
            self._channel.opened(BrokerWire(link, self._address, own, known.generation, have))
            log("the channel is up, by the broker")
            self._parts.bells.beat.ring()  # so the server knows, and offers what waits
            log(f"the channel ended: {await link.gone()}")
        finally:
            self._channel.dropped()
            await link.close()

    async def _open(self, device_id: str) -> Link:
        settings = self._parts.settings
        tls = tls_of(self._address, settings.ca_file)
        is_metered = "4g" in settings.connection_type and "wifi" not in settings.connection_type
        refusal = LinkRefused("there is no token")
        for token in self._parts.identity.tokens():
            manner = Manner(
                client_id=device_id,
                username=device_id,
                password=token,
                version=self._version,
                session_sec=settings.mqtt_session_sec,
                keepalive_sec=METERED_KEEPALIVE_SEC if is_metered else KEEPALIVE_SEC,
                at_once=20,
                tls=tls,
            )
            link = Link(self._address, manner, self._heard)
            try:
                await link.connect(settings.http_timeout_sec)
            except LinkRefused as refused:
                refusal = refused
                continue
            return link
        raise refusal

    async def _refused(self) -> None:
        """The server knows why: the binding may be over. Else the broker missed our token, and gets a fresh one."""
        parts, now = self._parts, self._parts.clock.monotonic()
        parts.bells.beat.ring()
        if self._refreshed_at is None or now - self._refreshed_at >= REFRESH_SEC:
            self._refreshed_at = now
            await refresh_token(parts)

    def _heard(self, name: str, payload: bytes, done: Callable[[], None]) -> None:
        """What is of another binding than ours is passed over."""
        self._channel.heard_at = self._parts.clock.monotonic()
        spoken = spoken_in(payload)
        if spoken is not None and spoken.gen == self._parts.identity.known.generation:
            try:
                self._take(msgspec.json.decode(payload, type=FrameHeard), payload)
            except UNREADABLE:
                log("a message that can't be read is passed over")
        done()

    def _take(self, frame: FrameHeard, payload: bytes) -> None:
        if frame.type == "offer":
            self._intake.take(offers([frame.command]))
        elif frame.type == "revoked" and frame.id is not None:
            self._obey.revoked(frame.id, frame.status)
        else:
            self._channel.heard(frame, payload)
