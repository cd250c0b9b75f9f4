"""Calls on devices and their bindings."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from rolltape.sdk.lenient import reader
from rolltape.sdk.request import Request, delete, encoded, get, path_of, post
from rolltape.wire.command import Command
from rolltape.wire.common import Page
from rolltape.wire.device import BoundDevice, Device, DeviceStateAnswer, DeviceStats, DeviceStatus, UpdateDevice
from rolltape.wire.heartbeat import Connection
from rolltape.wire.keys import Alg


def register(
    serial_number: str,
    *,
    model: str | None = None,
    name: str | None = None,
    firmware_version: str | None = None,
    metadata: dict[str, Any] | None = None,
    connection: list[Connection] | None = None,
    grant_alg: Alg | None = None,
    public_key: str | None = None,
) -> Request[Device]:
    """Register a recorder. The same serial number again answers the device that is there.

    `public_key`: the device's own Ed25519 key, base64url of its 32 bytes. Needs `devices:write`.
    """
    return post(
        path_of("devices"),
        Device,
        {
            "serial_number": serial_number,
            "model": model,
            "name": name,
            "firmware_version": firmware_version,
            "metadata": metadata,
            "connection": connection,
            "grant_alg": grant_alg,
            "public_key": public_key,
        },
    )


def fetch(device_id: str) -> Request[Device]:
    """One device. Raises NotFound. Needs `devices:read`."""
    return get(path_of("devices", device_id), Device)


def pages(
    *,
    status: DeviceStatus | None = None,
    end_user_id: str | None = None,
    online: bool | None = None,
    serial_number: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Request[Page[Device]]:
    """The project's devices, newest first. Needs `devices:read`."""
    return get(
        path_of("devices"),
        Page[Device],
        status=status,
        end_user_id=end_user_id,
        online=online,
        serial_number=serial_number,
        limit=limit,
        cursor=cursor,
    )


def update(
    device_id: str,
    *,
    name: str | UnsetType | None = UNSET,
    firmware_version: str | UnsetType | None = UNSET,
    metadata: dict[str, Any] | UnsetType | None = UNSET,
    settings: dict[str, Any] | UnsetType = UNSET,
) -> Request[Device]:
    """Change what is given, keep the rest: `metadata` is replaced whole, `settings` merged deeply.

    `settings["heartbeat_sec"]` is 10 to 3600. Needs `devices:write`.
    """
    body = UpdateDevice(name=name, firmware_version=firmware_version, metadata=metadata, settings=settings)
    return Request("PATCH", path_of("devices", device_id), reader(Device), body=encoded(body))


def remove(device_id: str, *, force: bool = False) -> Request[None]:
    """Delete a device. Raises DeviceRecording while it records, unless forced. Needs `devices:write`."""
    return delete(path_of("devices", device_id), force=force or None)


def bind(device_id: str, end_user_id: str, *, pk_d: str | None = None) -> Request[BoundDevice]:
    """Give a device to an end user. The answer holds the device token, shown this once.

    Bound to the same user already: a fresh token, nothing else changes. Raises DeviceAlreadyBound. `pk_d`: 128 hex
    digits, kept for you. Needs `devices:write`.
    """
    body = {"end_user_id": end_user_id, "pk_d": pk_d}
    return post(path_of("devices", device_id, "bind"), BoundDevice, body)


def unbind(device_id: str, *, force: bool = False) -> Request[Device]:
    """Take a device from its end user and cancel its open commands; unbound already: no change.

    Raises DeviceRecording while a remotely started recording runs, unless forced. Needs `devices:write`.
    """
    return post(path_of("devices", device_id, "unbind"), Device, {"force": force or None})


def reset(device_id: str, *, force: bool = False) -> Request[Command | Device]:
    """Tell a device to wipe itself: a `factory_reset` command, good for 7 days; one open already is answered again.

    With `force`: it is unbound at once, and the answer is the device. Raises DeviceNotBound. Needs `devices:write`.
    """
    body = encoded({"force": force or None})
    return Request("POST", path_of("devices", device_id, "reset"), _command_or_device, body=body)


def _command_or_device(body: bytes) -> Command | Device:
    raw = reader(dict[str, msgspec.Raw])(body)
    return reader(Device)(body) if "serial_number" in raw else reader(Command)(body)


def state(device_id: str) -> Request[DeviceStateAnswer]:
    """What is known of the device now, on what evidence and how old it is. Needs `devices:read`."""
    return get(path_of("devices", device_id, "state"), DeviceStateAnswer)


def stats() -> Request[DeviceStats]:
    """Counts over the project's devices. Needs `devices:read`."""
    return get(path_of("devices", "stats"), DeviceStats)
