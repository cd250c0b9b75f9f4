"""`rolltape devices`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolltape.cli.options import Limit, Yes, calls, confirmed, json_object, listed
from rolltape.cli.output import Column, Output

if TYPE_CHECKING:
    from rolltape.sdk.client import Client

app = typer.Typer(help="Recorders and their bindings.", no_args_is_help=True)
Force = Annotated[bool, typer.Option("--force", help="Also while it records.")]
Connections = Annotated[list[str] | None, typer.Option("--connection", help="wifi, 4g or ble; may be repeated.")]
MetadataText = Annotated[str | None, typer.Option("--metadata", help="A JSON object.")]

_FIELDS: list[Column] = [
    ("id", lambda device: device.id),
    ("serial_number", lambda device: device.serial_number),
    ("model", lambda device: device.model),
    ("name", lambda device: device.name),
    ("firmware_version", lambda device: device.firmware_version),
    ("status", lambda device: device.status),
    ("end_user_id", lambda device: device.end_user_id),
    ("binding_generation", lambda device: device.binding_generation),
    ("online", lambda device: device.online),
    ("connection", lambda device: device.connection),
    ("battery_percent", lambda device: device.battery_percent),
    ("storage_used_mb", lambda device: device.storage_used_mb),
    ("storage_total_mb", lambda device: device.storage_total_mb),
    ("last_heartbeat_at", lambda device: device.last_heartbeat_at),
    ("device_state", lambda device: device.recording_state.device_state),
    ("grant_alg", lambda device: device.grant_alg),
    ("metadata", lambda device: device.metadata or None),
    ("settings", lambda device: device.settings or None),
    ("created_at", lambda device: device.created_at),
]
_SHOWN_IN_LISTS = ("id", "serial_number", "name", "status", "end_user_id", "online", "battery_percent")
_COLUMNS: list[Column] = [(name.upper(), read) for name, read in _FIELDS if name in _SHOWN_IN_LISTS]


@calls(app, "register")
def register(
    client: "Client",
    out: Output,
    *,
    serial_number: str,
    model: str | None = None,
    name: str | None = None,
    firmware_version: str | None = None,
    connection: Connections = None,
    grant_alg: Annotated[str | None, typer.Option(help="EdDSA or HS256.", show_default="EdDSA")] = None,
    public_key: Annotated[str | None, typer.Option(help="The device's own Ed25519 key, base64url.")] = None,
    metadata: MetadataText = None,
) -> None:
    """Register a recorder.

    The same serial number again shows the one that is there.
    """
    given: dict[str, Any] = {
        "model": model,
        "name": name,
        "firmware_version": firmware_version,
        "connection": connection or None,
        "grant_alg": grant_alg,
        "public_key": public_key,
        "metadata": json_object(metadata, "--metadata"),
    }
    out.item(client.devices.register(serial_number, **given), _FIELDS)


@calls(app, "list")
def list_(
    client: "Client",
    out: Output,
    *,
    status: Annotated[str | None, typer.Option(help="unbound or bound.")] = None,
    end_user_id: str | None = None,
    online: Annotated[bool | None, typer.Option("--online/--offline", help="Only those.", show_default=False)] = None,
    serial_number: str | None = None,
    limit: Limit = 20,
) -> None:
    """List devices, newest first."""
    filters: dict[str, Any] = {
        "status": status,
        "end_user_id": end_user_id,
        "online": online,
        "serial_number": serial_number,
    }

    def devices(limit: int) -> object:
        return client.devices.list(**filters, limit=limit)

    out.rows(listed(devices, limit, out), _COLUMNS, none="No devices.")


@calls(app, "get")
def get(client: "Client", out: Output, *, device_id: str) -> None:
    """Show one device."""
    out.item(client.devices.get(device_id), _FIELDS)


@calls(app, "update")
def update(
    client: "Client",
    out: Output,
    *,
    device_id: str,
    name: str | None = None,
    firmware_version: str | None = None,
    metadata: Annotated[str | None, typer.Option(help="A JSON object, in place of the old one.")] = None,
    settings: Annotated[str | None, typer.Option(help='A JSON object, merged in: {"heartbeat_sec": 30}.')] = None,
) -> None:
    """Change a device: what is left out stays."""
    given: dict[str, Any] = {
        "name": name,
        "firmware_version": firmware_version,
        "metadata": json_object(metadata, "--metadata"),
        "settings": json_object(settings, "--settings"),
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise typer.BadParameter("say what to change: --name, --firmware-version, --metadata or --settings")
    out.item(client.devices.update(device_id, **changes), _FIELDS)


@calls(app, "bind")
def bind(client: "Client", out: Output, *, device_id: str, end_user_id: str) -> None:
    """Give a device to an end user. The device token is shown this once."""
    bound = client.devices.bind(device_id, end_user_id)
    secrets: list[Column] = [
        ("device_token", lambda one: one.device_token),
        ("grant_kid", lambda one: one.grant_kid),
        ("grant_secret", lambda one: one.grant_secret),
    ]
    out.item(bound, _FIELDS + [column for column in secrets if column[1](bound) is not None])
    out.hint("\nKeep the token now: only a hash of it is stored.")


@calls(app, "unbind")
def unbind(client: "Client", out: Output, *, device_id: str, force: Force = False) -> None:
    """Take a device from its end user.

    Its open commands are cancelled.
    """
    out.item(client.devices.unbind(device_id, force=force), _FIELDS)


@calls(app, "reset")
def reset(
    client: "Client",
    out: Output,
    *,
    device_id: str,
    force: Annotated[bool, typer.Option("--force", help="Unbind at once, without the device's word.")] = False,
) -> None:
    """Tell a device to wipe itself.

    It is unbound when it has.
    """
    from rolltape.cli.commands import FIELDS
    from rolltape.wire.device import Device

    told = client.devices.reset(device_id, force=force)
    out.item(told, _FIELDS if isinstance(told, Device) else FIELDS)


@calls(app, "delete")
def delete(client: "Client", out: Output, *, device_id: str, force: Force = False, yes: Yes = False) -> None:
    """Delete a device."""
    confirmed(f"Delete {device_id}?", yes=yes)
    client.devices.delete(device_id, force=force)
    out.done({"id": device_id, "deleted": True}, f"Deleted {device_id}.")


@calls(app, "state")
def state(client: "Client", out: Output, *, device_id: str) -> None:
    """Show what is known of a device now.

    Also on whose word, and how old it is.
    """
    fields: list[Column] = [
        ("online", lambda told: told.online),
        ("recording", lambda told: told.recording.active),
        ("recording_id", lambda told: told.recording.recording_id),
        ("since", lambda told: told.recording.started_at),
        ("initiated_by", lambda told: told.recording.initiated_by),
        ("as_of", lambda told: told.recording.as_of),
        ("evidence", lambda told: told.recording.evidence),
        ("device_state", lambda told: told.recording_state.device_state),
        ("battery_percent", lambda told: told.battery_percent),
        ("storage_used_mb", lambda told: told.storage_used_mb),
        ("storage_total_mb", lambda told: told.storage_total_mb),
        ("last_heartbeat_at", lambda told: told.last_heartbeat_at),
        ("last_seen_by", lambda told: told.last_seen_by),
    ]
    out.item(client.devices.state(device_id), fields)


@calls(app, "stats")
def stats(client: "Client", out: Output) -> None:
    """Count the project's devices."""
    told = client.devices.stats()

    def column(name: str) -> Column:
        return name, lambda one: getattr(one, name)

    out.item(told, [column(name) for name in told.__struct_fields__])
