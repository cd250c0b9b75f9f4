"""The backend plane: devices, their bindings and their commands. Each handler is one call of a service."""

from typing import Any

from rolltape.codes import Code
from rolltape.service import bindings, commands, devices
from rolltape.web.call import Call, Reply
from rolltape.web.operation import Operation
from rolltape.web.params import (
    IDEMPOTENCY_KEY,
    PREFER,
    CommandsQuery,
    DevicesQuery,
    ForceQuery,
    PageQuery,
    WaitQuery,
    idempotency_key,
    wait_seconds,
)
from rolltape.wire.command import Command, CreateCommand, ResetDevice
from rolltape.wire.common import Event, Page
from rolltape.wire.device import (
    BindDevice,
    BoundDevice,
    Device,
    DeviceStateAnswer,
    DeviceStats,
    RegisterDevice,
    UnbindDevice,
    UpdateDevice,
)

REPLAYED = ((b"idempotent-replayed", b"true"),)


async def create_command(call: Call[CreateCommand, WaitQuery]) -> Reply:
    key = idempotency_key(call, call.body.idempotency_key)
    seconds = wait_seconds(call)
    command, replayed = await commands.create_command(
        call.app, call.key, call.device_id, call.body, idempotency_key=key, now=call.now
    )
    if seconds:
        command = await _when_terminal(call, command, seconds)
    return Reply(command, 200, REPLAYED) if replayed else Reply(command, 201)


async def _when_terminal(call: Call[Any, Any], command: Command, seconds: float) -> Command:
    waiting = commands.wait_until_terminal(call.app, call.key, call.device_id, command.id, seconds=seconds)
    return await call.shared.holds.hold(call, waiting) or command


async def list_commands(call: Call[None, CommandsQuery]) -> Page[Command]:
    query = call.query
    return await commands.list_commands(
        call.app,
        call.key,
        call.device_id,
        statuses=list(query.status),
        type_=query.type,
        limit=query.limit,
        cursor=query.cursor,
        now=call.now,
    )


async def get_command(call: Call[None, None]) -> Command:
    return await commands.get_command(call.app, call.key, call.device_id, call.command_id, now=call.now)


async def list_history(call: Call[None, PageQuery]) -> Page[Event]:
    query = call.query
    return await commands.list_history(
        call.app, call.key, call.device_id, call.command_id, limit=query.limit, cursor=query.cursor, now=call.now
    )


async def cancel_command(call: Call[None, None]) -> Command:
    return await commands.cancel_command(call.app, call.key, call.device_id, call.command_id, now=call.now)


async def register_device(call: Call[RegisterDevice, None]) -> Reply:
    device, created = await devices.register_device(call.app, call.key, call.body, now=call.now)
    return Reply(device, 201 if created else 200)


async def list_devices(call: Call[None, DevicesQuery]) -> Page[Device]:
    query = call.query
    return await devices.list_devices(
        call.app,
        call.key,
        status=query.status,
        end_user_id=query.end_user_id,
        online=query.online,
        serial_number=query.serial_number,
        limit=query.limit,
        cursor=query.cursor,
        now=call.now,
    )


async def get_device(call: Call[None, None]) -> Device:
    return await devices.get_device(call.app, call.key, call.device_id, now=call.now)


async def update_device(call: Call[UpdateDevice, None]) -> Device:
    return await devices.update_device(call.app, call.key, call.device_id, call.body, now=call.now)


async def delete_device(call: Call[None, ForceQuery]) -> None:
    await devices.delete_device(call.app, call.key, call.device_id, force=call.query.force, now=call.now)


async def device_state(call: Call[None, None]) -> DeviceStateAnswer:
    return await devices.device_state(call.app, call.key, call.device_id, now=call.now)


async def device_stats(call: Call[None, None]) -> DeviceStats:
    return await devices.device_stats(call.app, call.key, now=call.now)


async def bind_device(call: Call[BindDevice, None]) -> BoundDevice:
    return await bindings.bind_device(call.app, call.key, call.device_id, call.body, now=call.now)


async def unbind_device(call: Call[UnbindDevice, None]) -> Device:
    return await bindings.unbind_device(call.app, call.key, call.device_id, force=call.body.force, now=call.now)


async def reset_device(call: Call[ResetDevice, None]) -> Reply:
    answer, created = await bindings.reset_device(
        call.app, call.key, call.device_id, force=call.body.force, now=call.now
    )
    return Reply(answer, 201 if created else 200)


COMMANDS = (
    Operation(
        method="POST",
        path="/v1/devices/{device_id}/commands",
        name="createCommand",
        summary="Command a device",
        description="Accepted means kept: the command is durable before the answer is sent. With `wait` the answer is "
        "held until the device has said how it ended, or the time is up; it is 201 all the same, so look at `status`. "
        "A `stop_recording` cancels the device's older pending starts and stops.",
        group="Commands",
        scope="devices:write",
        query=WaitQuery,
        headers=(IDEMPOTENCY_KEY, PREFER),
        body=CreateCommand,
        body_example={"type": "start_recording", "params": {"max_duration_sec": 600}, "ttl_seconds": 300},
        answers={201: Command, 200: Command},
        answer_headers={"Idempotent-Replayed": "`true` when this idempotency key had been used for the same request"},
        errors=(Code.DEVICE_NOT_BOUND, Code.COMMAND_QUEUE_FULL, Code.IDEMPOTENCY_KEY_REUSED),
        handler=create_command,
    ),
    Operation(
        method="GET",
        path="/v1/devices/{device_id}/commands",
        name="listCommands",
        summary="List a device's commands, newest first",
        group="Commands",
        scope="devices:read",
        query=CommandsQuery,
        answers={200: Page[Command]},
        handler=list_commands,
    ),
    Operation(
        method="GET",
        path="/v1/devices/{device_id}/commands/{command_id}",
        name="getCommand",
        summary="Read a command",
        group="Commands",
        scope="devices:read",
        answers={200: Command},
        handler=get_command,
    ),
    Operation(
        method="GET",
        path="/v1/devices/{device_id}/commands/{command_id}/events",
        name="listCommandEvents",
        summary="Read a command's history, oldest first",
        group="Commands",
        scope="devices:read",
        query=PageQuery,
        answers={200: Page[Event]},
        handler=list_history,
    ),
    Operation(
        method="DELETE",
        path="/v1/devices/{device_id}/commands/{command_id}",
        name="cancelCommand",
        summary="Cancel a command that is still pending",
        description="Cancelling twice is fine. `may_still_run_until` says whether a grant that was offered could still "
        "start something.",
        group="Commands",
        scope="devices:write",
        answers={200: Command},
        errors=(Code.COMMAND_NOT_CANCELLABLE,),
        handler=cancel_command,
    ),
)

DEVICES = (
    Operation(
        method="POST",
        path="/v1/devices",
        name="registerDevice",
        summary="Register a device",
        description="The same serial number again in the same project: 200 with the device that is there.",
        group="Devices",
        scope="devices:write",
        body=RegisterDevice,
        body_example={"serial_number": "RT-000123", "model": "pocket-2", "connection": ["wifi"]},
        answers={201: Device, 200: Device},
        handler=register_device,
    ),
    Operation(
        method="GET",
        path="/v1/devices",
        name="listDevices",
        summary="List devices, newest first",
        group="Devices",
        scope="devices:read",
        query=DevicesQuery,
        answers={200: Page[Device]},
        handler=list_devices,
    ),
    Operation(
        method="GET",
        path="/v1/devices/stats",
        name="getDeviceStats",
        summary="Count the project's devices",
        group="Devices",
        scope="devices:read",
        answers={200: DeviceStats},
        handler=device_stats,
    ),
    Operation(
        method="GET",
        path="/v1/devices/{device_id}",
        name="getDevice",
        summary="Read a device",
        group="Devices",
        scope="devices:read",
        answers={200: Device},
        handler=get_device,
    ),
    Operation(
        method="PATCH",
        path="/v1/devices/{device_id}",
        name="updateDevice",
        summary="Change a device",
        description="`metadata` is replaced whole; `settings` is merged deeply.",
        group="Devices",
        scope="devices:write",
        body=UpdateDevice,
        answers={200: Device},
        handler=update_device,
    ),
    Operation(
        method="DELETE",
        path="/v1/devices/{device_id}",
        name="deleteDevice",
        summary="Delete a device",
        description="As unbind, and then it is gone. Its commands stay readable by events only.",
        group="Devices",
        scope="devices:write",
        query=ForceQuery,
        answers={204: None},
        errors=(Code.DEVICE_RECORDING,),
        handler=delete_device,
    ),
    Operation(
        method="GET",
        path="/v1/devices/{device_id}/state",
        name="getDeviceState",
        summary="Read what is known of a device's state, on whose word, and how old that is",
        group="Devices",
        scope="devices:read",
        answers={200: DeviceStateAnswer},
        handler=device_state,
    ),
)

BINDINGS = (
    Operation(
        method="POST",
        path="/v1/devices/{device_id}/bind",
        name="bindDevice",
        summary="Bind a device to an end user, and get its token",
        description="The token is shown this once. Bound to the same user already: a fresh token, all else stays.",
        group="Devices",
        scope="devices:write",
        body=BindDevice,
        body_example={"end_user_id": "eu_01J8ZQ4N6T0000000000"},
        answers={200: BoundDevice},
        errors=(Code.DEVICE_ALREADY_BOUND,),
        handler=bind_device,
    ),
    Operation(
        method="POST",
        path="/v1/devices/{device_id}/unbind",
        name="unbindDevice",
        summary="End a device's binding",
        description="Cancels its open commands. Unbound already: nothing happens.",
        group="Devices",
        scope="devices:write",
        body=UnbindDevice,
        body_optional=True,
        answers={200: Device},
        errors=(Code.DEVICE_RECORDING,),
        handler=unbind_device,
    ),
    Operation(
        method="POST",
        path="/v1/devices/{device_id}/reset",
        name="resetDevice",
        summary="Have a device wipe itself",
        description="201 with a `factory_reset` command, or 200 with the one that is open already. With `force`: "
        "unbound at once, 200 with the device.",
        group="Devices",
        scope="devices:write",
        body=ResetDevice,
        body_optional=True,
        answers={201: Command, 200: (Command, Device)},
        errors=(Code.DEVICE_NOT_BOUND,),
        handler=reset_device,
    ),
)
