"""The grants that wait for their devices: in memory alone, and none longer than it is good."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rolltape.clock import Clock
from rolltape.relay.server import OfferHeard
from rolltape.wire import cbor, cose
from rolltape.wire.cwt import EXP, number
from rolltape.wire.keys import un_b64url

MOST_OF_ONE = 100
"""How many grants of one device are held; the server offers four at a time."""
_FIRST = {"factory_reset": 0, "stop_recording": 1}


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant. `until`: on the monotonic timer, when it is good no more."""

    id: str
    device_id: str
    seq: int
    type: str
    cwt: bytes
    until: float


class Grants:
    """What is held, by device. `came` is called with the id of a device for which something new is there."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, dict[str, HeldGrant]] = {}
        self.came: Callable[[str], None] = lambda device_id: None
        self.revoked: Callable[[str, str], None] = lambda device_id, command_id: None

    def take(self, offers: Iterable[OfferHeard], server_ms: int) -> None:
        """Hold what the server offers; what it offers again is fresher. `server_ms`: its time as it answered."""
        devices = set()
        for offer in offers:
            grant = self._read(offer, server_ms)
            of_device = self._held.setdefault(offer.device_id, {})
            if grant is not None and (offer.id in of_device or len(of_device) < MOST_OF_ONE):
                of_device[offer.id] = grant
                devices.add(offer.device_id)
        for device_id in devices:
            self.came(device_id)

    def revoke(self, command_ids: Iterable[str]) -> None:
        """These are no longer to be done."""
        for command_id in command_ids:
            for device_id, grants in self._held.items():
                if grants.pop(command_id, None) is not None:
                    self.revoked(device_id, command_id)

    def drop(self, device_id: str, command_id: str) -> None:
        """The device has it."""
        self._held.get(device_id, {}).pop(command_id, None)

    def clear(self, device_id: str | None = None) -> None:
        """Hold nothing more, of that device or at all: this relay may not serve it."""
        if device_id is None:
            self._held.clear()
        else:
            self._held.pop(device_id, None)

    def of(self, device_id: str) -> list[HeldGrant]:
        """What waits for a device: a reset first, then stops, then by `seq`."""
        now = self._clock.monotonic()
        grants = {id_: grant for id_, grant in self._held.get(device_id, {}).items() if grant.until > now}
        if grants:
            self._held[device_id] = grants
        else:
            self._held.pop(device_id, None)
        return sorted(grants.values(), key=lambda grant: (_FIRST.get(grant.type, 2), grant.seq))

    def _read(self, offer: OfferHeard, server_ms: int) -> HeldGrant | None:
        try:
            cwt = un_b64url(offer.grant_cwt)
            good_for = expiry(cwt) - server_ms / 1000
        except (ValueError, KeyError, TypeError):
            return None
        until = self._clock.monotonic() + good_for
        return HeldGrant(offer.id, offer.device_id, offer.seq, offer.type, cwt, until)


def expiry(cwt: bytes) -> int:
    """When a grant ends, in seconds since the epoch. Nothing is checked: that is the device's to do.

    ValueError, KeyError or TypeError for what is no grant.
    """
    return number(cbor.decode(cose.take_apart(cwt).payload, cose.MAX_BYTES)[EXP])
