"""What the parts of a gateway share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from rolltape.backoff import Backoff, Wake
from rolltape.clock import Clock
from rolltape.relay.config import RelaySettings
from rolltape.relay.grants import Grants
from rolltape.relay.log import log
from rolltape.relay.server import DeviceHeard, RelayServer
from rolltape.relay.shelf import Progress, Shelf
from rolltape.relay.spool import Spool
from rolltape.relay.token import Token

_TOKEN_LOOK_SEC = 1.0
_REFUSED_SEC = 3600.0
_MOST_REFUSED = 10_000


@dataclass(slots=True)
class Network:
    """Whether the server was heard at the last try."""

    online: bool = False
    back: Callable[[], None] = lambda: None

    def heard(self) -> None:
        """The server answered something. `back` is called where it didn't before."""
        if not self.online:
            log("the server answers")
            self.online = True
            self.back()

    def lost(self, why: object) -> None:
        """Nothing was heard."""
        if self.online:
            log(f"offline: {why}")
        self.online = False


class Refused:
    """The recordings that the server doesn't take: not fetched again for an hour."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}

    def note(self, device_id: str, recording_id: str) -> None:
        """The server refused it for good."""
        while len(self._until) >= _MOST_REFUSED:
            del self._until[next(iter(self._until))]
        self._until[device_id, recording_id] = self._clock.monotonic() + _REFUSED_SEC

    def holds(self, device_id: str, recording_id: str) -> bool:
        """Whether it isn't to be asked for now."""
        return self._until.get((device_id, recording_id), 0.0) > self._clock.monotonic()


@dataclass(slots=True)
class Bells:
    """What wakes the loops."""

    carry: Wake
    upload: Wake
    devices: Wake
    central: Wake

    @classmethod
    def hang(cls, clock: Clock) -> "Bells":
        """A bell each."""
        return cls(*(Wake(clock) for _ in range(4)))


@dataclass(slots=True)
class Parts:
    """All of it. `told(device_id)`: something of that device has reached the server, so it may ask for the proof."""

    settings: RelaySettings
    clock: Clock
    token: Token
    server: RelayServer
    spool: Spool
    shelf: Shelf
    grants: Grants
    network: Network
    refused: Refused
    bells: Bells
    devices: dict[str, DeviceHeard] = field(default_factory=dict)
    former: dict[str, DeviceHeard] = field(default_factory=dict)
    """Devices that were given back: they get no grants, and what they still have to tell is carried for some days."""
    token_ended: asyncio.Event = field(default_factory=asyncio.Event)
    told: Callable[[str], None] = lambda device_id: None
    progress: Callable[[Progress], None] = lambda progress: None

    def known(self, device_id: str) -> DeviceHeard | None:
        """A device that is, or was, one to be served."""
        return self.devices.get(device_id) or self.former.get(device_id)

    def backoff(self) -> Backoff:
        """For one loop."""
        return Backoff(self.settings.backoff_first_sec, self.settings.backoff_most_sec)

    def end_token(self) -> None:
        """This relay may carry nothing: no grant is given to anybody, and nobody is told that it is offline."""
        if not self.token_ended.is_set():
            log("the relay token has ended: nothing is carried until there is a new one")
        self.token_ended.set()
        self.grants.clear()
        self.bells.central.ring()

    async def new_token(self) -> None:
        """Back when there may be a new token; where none can come, never."""
        self.end_token()
        await self.clock.sleep(_TOKEN_LOOK_SEC)

    def token_works(self) -> None:
        """The server took it."""
        self.network.heard()
        self.token_ended.clear()
