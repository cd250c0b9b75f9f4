"""The calls whose cost is followed."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.lanes import HttpLane
from bench.load.run import heartbeat_request, request, start_request
from bench.parts.listing import list_request
from bench.servers.target import Target


@dataclass(frozen=True, slots=True)
class Call:
    """One call, by so many callers. `with_history`: only of the devices that have closed commands on every store."""

    callers: int
    request: Callable[[Target], str]
    status: int = 200
    with_history: bool = False

    def lane(self, target: Target, name: str, devices: int) -> HttpLane:
        """The lane of that call on a server; `devices` of its devices, 0: all."""
        made = HttpLane(target, self.request(target), self.status, devices=devices)
        made.name = name
        return made


def _page(target: Target) -> str:
    return list_request(target, target.devices.id, "limit=20&status=executed")


def _look_up(target: Target) -> str:
    return request(target, "GET", f"/v1/devices/{target.devices.id}", target.key)


CALLS = {
    "list page": Call(4, _page, with_history=True),
    "device look-up": Call(8, _look_up),
    "heartbeat": Call(32, heartbeat_request),
    "create": Call(32, start_request, 201),
}
"""Create comes last: what it leaves behind must not be in the others' way."""
