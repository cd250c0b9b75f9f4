"""Which devices a relay reaches, and under which bindings. It is looked at in each call, and remembered nowhere."""

import msgspec
from msgspec.structs import replace

from rolltape.codes import Code, Problem
from rolltape.domain.principal import RelayedDevice, RelayPrincipal
from rolltape.domain.rows import CommandRow
from rolltape.service.context import Services
from rolltape.store.inputs import TOKEN_STORY_MS
from rolltape.wire.relay import MAX_DEVICES, RelayDevice, RelayDevices

_kids = msgspec.json.Decoder(tuple[str, ...]).decode


def out_of_reach(what: str = "device") -> Problem:
    """404: not there, or not this relay's; which of the two is nobody's business."""
    return Problem(
        Code.NOT_FOUND,
        f"This relay reaches no such {what}. GET /v1/relay/devices lists the devices that it may serve.",
        param=f"{what}_id",
    )


async def reach(app: Services, who: RelayPrincipal, device_id: str, now: int) -> RelayedDevice:
    """The device, under its newest binding to the relay's end user that lasts or ended at most 8 days ago.

    Raises Problem: not_found.
    """
    if who.device_ids is not None and device_id not in who.device_ids:
        raise out_of_reach()
    row = await app.store.reached_device(who.tenant.n, who.end_user_id, device_id, now - TOKEN_STORY_MS)
    if row is None:
        raise out_of_reach()
    return RelayedDevice(
        tenant=who.tenant,
        device_id=device_id,
        generation=row.generations[0],
        generations=row.generations,
        ended=not row.bound,
        grant_alg=row.grant_alg,
        held_kids=_kids(row.held_kids),
        public_key=row.public_key,
        heartbeat_sec=row.heartbeat_sec,
        last_stop_seq=row.last_stop_seq,
    )


async def reach_bound(app: Services, who: RelayPrincipal, device_id: str, now: int) -> RelayedDevice:
    """The device, which must be bound to the relay's end user now. Raises Problem: not_found."""
    device = await reach(app, who, device_id, now)
    if device.ended:
        raise out_of_reach()
    return device


def under(device: RelayedDevice, generation: int | None) -> RelayedDevice | None:
    """The device under that binding; None where this relay may not speak of it."""
    if generation == device.generation:
        return device
    if generation is None or generation not in device.generations:
        return None
    return replace(device, generation=generation, ended=True)


async def reach_command(
    app: Services, who: RelayPrincipal, device_id: str, command_id: str, now: int
) -> tuple[RelayedDevice, CommandRow]:
    """A command, and its device under the command's own binding. Raises Problem: not_found."""
    device = await reach(app, who, device_id, now)
    row = await app.store.command_of_generation(who.tenant.n, device_id, command_id, None, now)
    speaker = under(device, row.generation)
    if speaker is None:
        raise out_of_reach("command")
    return speaker, row


async def list_devices(app: Services, who: RelayPrincipal) -> RelayDevices:
    """The devices that are bound to the relay's end user now; of more than a token can name, the oldest."""
    rows = await app.store.relay_devices(who.tenant.n, who.end_user_id)
    reached = [row for row in rows if who.device_ids is None or row.id in who.device_ids]
    return RelayDevices(
        more=len(reached) > MAX_DEVICES,
        data=[
            RelayDevice(
                id=row.id,
                serial_number=row.serial_number,
                binding_generation=row.generation,
                grant_alg=row.grant_alg,
                has_key=row.has_key,
                commands_wait=row.commands_wait,
            )
            for row in reached[:MAX_DEVICES]
        ],
    )
