"""Whether a device is there: any call of its own keeps it online for the longer of 180 s and three of its intervals."""

from rolltape.domain.principal import DevicePrincipal, Principal, RelayedDevice
from rolltape.service.context import Services
from rolltape.store.inputs import StateDelta

LEAST_ONLINE_SEC = 180


def online_until(now: int, heartbeat_sec: int) -> int:
    """Until when (ms) a device that was heard at `now` counts as online."""
    return now + max(LEAST_ONLINE_SEC, 3 * heartbeat_sec) * 1000


def touch(app: Services, who: Principal | RelayedDevice, now: int) -> None:
    """A device was heard of; a backend or a relay that speaks for one says nothing of its being there."""
    if isinstance(who, DevicePrincipal) and not who.ended:
        until = online_until(now, who.heartbeat_sec)
        app.store.note_state(who.device_id, StateDelta(tenant_n=who.tenant.n, online_until=until, seen_at=now))
