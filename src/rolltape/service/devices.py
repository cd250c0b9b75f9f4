"""Devices, as a backend registers, reads, changes and deletes them."""

from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from rolltape.domain import views
from rolltape.domain.principal import KeyPrincipal
from rolltape.domain.rows import DeviceRow
from rolltape.service.context import Services
from rolltape.service.paging import page
from rolltape.service.params import invalid, json_text
from rolltape.store.inputs import DeviceChange, DeviceFilter, NewDevice, Position
from rolltape.wire.common import Page
from rolltape.wire.device import Device, DeviceStateAnswer, DeviceStats, RegisterDevice, UpdateDevice
from rolltape.wire.ids import new_id
from rolltape.wire.keys import un_b64url

DEFAULT_HEARTBEAT_SEC = 60
HEARTBEAT_RANGE = (10, 3600)


async def register_device(app: Services, who: KeyPrincipal, body: RegisterDevice, *, now: int) -> tuple[Device, bool]:
    """The device, and whether it is new. Raises Problem: invalid_request."""
    if body.model is not None and body.device_type is not None and body.model != body.device_type:
        raise invalid("model and device_type are two names of one field and differ. Send one of them.", "device_type")
    if body.public_key is not None:
        _check_public_key(body.public_key)
    new = NewDevice(
        id=new_id("dev", now),
        tenant_n=who.tenant.n,
        serial_number=body.serial_number,
        model=body.model if body.model is not None else body.device_type,
        name=body.name,
        firmware_version=body.firmware_version,
        connection=msgspec.json.encode(list(dict.fromkeys(body.connection or []))).decode(),
        grant_alg=body.grant_alg,
        public_key=body.public_key,
        metadata=json_text(body.metadata or {}, "metadata", "metadata"),
        heartbeat_sec=DEFAULT_HEARTBEAT_SEC,
    )
    row, created = await app.store.register_device(new, now)
    return views.device(row, now), created


def _check_public_key(text: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(un_b64url(text))
    except (ValueError, UnsupportedAlgorithm):
        raise invalid(
            "public_key is not an Ed25519 public key: base64url of 32 bytes, without padding.", "public_key"
        ) from None


async def list_devices(
    app: Services,
    who: KeyPrincipal,
    *,
    status: str | None,
    end_user_id: str | None,
    online: bool | None,
    serial_number: str | None,
    limit: int,
    cursor: str | None,
    now: int,
) -> Page[Device]:
    """A page of devices, newest first. Raises Problem: invalid_request."""
    filters = ("devices", who.tenant.n, status, end_user_id, online, serial_number)
    position = Position(app.vault.open_cursor(cursor, filters), limit + 1)
    by = DeviceFilter(status, end_user_id, online, serial_number)
    rows = await app.store.list_devices(who.tenant.n, by, position, now)
    return page(app, rows, limit, filters, lambda row: views.device(row, now))


async def get_device(app: Services, who: KeyPrincipal, device_id: str, *, now: int) -> Device:
    """Raises Problem: not_found."""
    return views.device(await app.store.get_device(who.tenant.n, device_id), now)


async def update_device(app: Services, who: KeyPrincipal, device_id: str, body: UpdateDevice, *, now: int) -> Device:
    """Changes what is given. Raises Problem: not_found, invalid_request."""

    def change(device: DeviceRow, own_name: str | None) -> DeviceChange:
        settings = views.from_json(device.settings)
        if body.settings is not msgspec.UNSET:
            settings = deep_merge(settings, body.settings)
        return DeviceChange(
            name=_given(body.name, own_name),
            firmware_version=_given(body.firmware_version, device.firmware_version),
            metadata=device.metadata
            if body.metadata is msgspec.UNSET
            else json_text(body.metadata or {}, "metadata", "metadata"),
            settings=json_text(settings, "settings", "settings"),
            heartbeat_sec=_heartbeat_sec(settings),
        )

    row = await app.store.update_device(who.tenant.n, device_id, change, now)
    app.credentials.forget(device_id)
    return views.device(row, now)


def _given(value: str | msgspec.UnsetType | None, before: str | None) -> str | None:
    return before if value is msgspec.UNSET else value


def deep_merge(into: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A JSON merge patch (RFC 7396): objects are merged, null removes, anything else replaces."""
    merged = dict(into)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            before = merged.get(name)
            merged[name] = deep_merge(before if isinstance(before, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def _heartbeat_sec(settings: dict[str, Any]) -> int:
    value = settings.get("heartbeat_sec", DEFAULT_HEARTBEAT_SEC)
    low, high = HEARTBEAT_RANGE
    if type(value) is not int or not low <= value <= high:
        raise invalid(f"settings.heartbeat_sec takes a whole number from {low} to {high}.", "settings.heartbeat_sec")
    return value


async def delete_device(app: Services, who: KeyPrincipal, device_id: str, *, force: bool, now: int) -> None:
    """Unbinds and deletes. Raises Problem: not_found, device_recording."""
    closed = await app.store.delete_device(who.tenant.n, device_id, force, now)
    app.credentials.forget(device_id)
    app.wakeups.changed(device_id, *closed)


async def device_state(app: Services, who: KeyPrincipal, device_id: str, *, now: int) -> DeviceStateAnswer:
    """What the device last said of itself. Raises Problem: not_found."""
    return views.device_state(await app.store.get_device(who.tenant.n, device_id), now)


async def device_stats(app: Services, who: KeyPrincipal, *, now: int) -> DeviceStats:
    """Counts over all devices of the project and mode."""
    total, bound, online, recording, low, full, commands = await app.store.device_counts(who.tenant.n, now)
    return DeviceStats(
        project_id=who.tenant.project_id,
        total_count=total,
        bound_count=bound,
        online_count=online,
        recording_count=recording,
        low_battery_count=low,
        storage_full_count=full,
        open_command_count=commands,
    )
