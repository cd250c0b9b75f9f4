"""The calls whose cost is followed."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.effort import Effort
from bench.lanes import HttpLane
from bench.load.run import Figures, heartbeat_request, request, start_request
from bench.parts.listing import list_request
from bench.servers.target import Target

MOST_HEARD = 100_000
"""So many devices have been heard before the rounds begin; of a larger fleet those that come then are looked up."""


class Steady(HttpLane):
    """Heartbeats as they come in life: each from a device that was heard before, but not within the last two seconds.

    States are written in batches every two seconds; a thousand devices that send as fast as they can would have ten
    heartbeats in each row that is written, and a million one.
    """

    heard = False

    def run(self, callers: int, effort: Effort) -> Figures:
        """An open loop, in which each device of the small store comes once in two seconds."""
        if not self.heard:
            self.heard = True
            self.go(replace(self.plan(callers, 0.0, 120.0), most=min(self.devices, MOST_HEARD)))
        plan = self.plan(callers, effort.warmup, effort.seconds * 2)
        return self.go(replace(plan, per_s=effort.small / 2))


@dataclass(frozen=True, slots=True)
class Call:
    """One call, by so many callers. `with_history`: only of the devices that have closed commands on every store."""

    callers: int
    request: Callable[[Target], str]
    status: int = 200
    with_history: bool = False
    make: type[HttpLane] = HttpLane

    def lane(self, target: Target, name: str, devices: int) -> HttpLane:
        """The lane of that call on a server; `devices` of its devices, 0: all."""
        made = self.make(target, self.request(target), self.status, devices=devices)
        made.name = name
        return made


def _page(target: Target) -> str:
    return list_request(target, target.devices.id, "limit=20&status=executed")


def _look_up(target: Target) -> str:
    return request(target, "GET", f"/v1/devices/{target.devices.id}", target.key)


CALLS = {
    "list page": Call(4, _page, with_history=True),
    "device look-up": Call(8, _look_up),
    "heartbeat": Call(32, heartbeat_request, make=Steady),
    "create": Call(32, start_request, 201),
}
"""By their names in `FOLLOWED`."""
