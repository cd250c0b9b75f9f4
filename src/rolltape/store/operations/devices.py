"""Devices: registration, look-ups, lists, changes, counts."""

from typing import Any

from rolltape.domain import views
from rolltape.domain.rows import CommandRow, DeviceRow
from rolltape.store.database import Db, queries
from rolltape.store.inputs import ChangeDevice, DeviceFilter, NewDevice, Position
from rolltape.store.operations import events
from rolltape.store.operations.moves import not_found

_Q = queries("devices")
_MINE = f"{_Q['select']} {_Q['where_mine']}"
_ANY = f"{_Q['select']} {_Q['where_any']}"


async def register(db: Db, new: NewDevice, now: int) -> tuple[DeviceRow, bool]:
    """The device, and whether it is new. The same serial number in one tenant is the same device."""
    before = await db.one(_Q["id_by_serial"], (new.tenant_n, new.serial_number))
    if before is not None:
        return await get(db, new.tenant_n, before[0]), False
    await db.run(
        _Q["insert"],
        (
            new.id,
            new.tenant_n,
            new.serial_number,
            new.model,
            new.name,
            new.firmware_version,
            new.connection,
            new.grant_alg,
            new.public_key,
            new.metadata,
            new.heartbeat_sec,
            now,
            now,
        ),
    )
    await db.run(_Q["insert_binding"], (new.id, new.tenant_n))
    await db.run(_Q["insert_state"], (new.id, new.tenant_n))
    device = await get(db, new.tenant_n, new.id)
    told = views.device(device, now)
    await events.append(db, "device.registered", told, now=now, tenant_n=new.tenant_n, device_id=new.id)
    return device, True


async def get(db: Db, tenant_n: int, device_id: str) -> DeviceRow:
    """The tenant's device. Raises Problem: not_found."""
    row = await db.one(_MINE, (device_id, tenant_n))
    if row is None:
        raise not_found("device")
    return DeviceRow(*row)


async def get_any(db: Db, device_id: str) -> DeviceRow:
    """A device that must be there, deleted or not."""
    row = await db.one(_ANY, (device_id,))
    assert row is not None, "devices are marked, never removed"
    return DeviceRow(*row)


async def exists(db: Db, tenant_n: int, device_id: str) -> bool:
    """Whether it is the tenant's, and not deleted."""
    return await db.one(_Q["exists"], (device_id, tenant_n)) is not None


async def list_page(db: Db, tenant_n: int, by: DeviceFilter, position: Position, now: int) -> list[DeviceRow]:
    """The tenant's devices, newest first."""
    parts = [_Q["select"], _Q["where_listed"]]
    if by.status is not None:
        parts.append(_Q["and_bound" if by.status == "bound" else "and_unbound"])
    if by.end_user_id is not None:
        parts.append(_Q["and_end_user"])
    if by.online is not None:
        parts.append(_Q["and_online" if by.online else "and_offline"])
    if by.serial_number is not None:
        parts.append(_Q["and_serial"])
    parts.append(_Q["order_listed"])
    bindings: dict[str, Any] = {
        "tenant_n": tenant_n,
        "below": position.below,
        "limit": position.limit,
        "now": now,
        "end_user_id": by.end_user_id,
        "serial_number": by.serial_number,
    }
    return [DeviceRow(*row) for row in await db.all(" ".join(parts), bindings)]


async def update(db: Db, tenant_n: int, device_id: str, change: ChangeDevice, now: int) -> DeviceRow:
    """Applies `change` to the device as it is. Raises Problem: not_found, and what `change` raises."""
    await db.hold((device_id,))
    device = await get(db, tenant_n, device_id)
    own = await db.one(_Q["own_name"], (device_id,))
    to = change(device, own[0] if own else None)
    facts = (to.name, to.firmware_version, to.metadata, to.settings, to.heartbeat_sec, now, device_id)
    await db.run(_Q["update"], facts)
    return await get(db, tenant_n, device_id)


async def mark_deleted(db: Db, device_id: str, now: int) -> None:
    """The device is gone for every reader; its rows stay for events and for tokens that finish their story."""
    await db.run(_Q["mark_deleted"], (now, now, device_id))


async def stats(db: Db, tenant_n: int, now: int) -> tuple[int, ...]:
    """Counts: all, bound, online, recording, low battery, storage full, open commands."""
    row = await db.one(_Q["stats"], {"tenant_n": tenant_n, "now": now})
    commands = await db.one(_Q["count_open_commands"], (tenant_n,))
    assert row is not None
    assert commands is not None
    return (*row, commands[0])


async def open_reset(db: Db, device_id: str) -> CommandRow | None:
    """The device's open factory_reset."""
    row = await db.one(_Q["open_reset"], (device_id,))
    return None if row is None else CommandRow(*row)


async def of_end_user(db: Db, tenant_n: int, end_user_id: str) -> list[str]:
    """The ids of the devices that are bound to that user."""
    return [row[0] for row in await db.all(_Q["of_end_user"], (tenant_n, end_user_id))]
