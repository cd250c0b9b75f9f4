"""The device plane: heartbeat, poll, acknowledge, report, refresh. Each handler is one call.

Paths here are lenient, whatever the credential: unknown fields and query parameters are ignored, so that new firmware
can talk to an old server.
"""

from rolltape.codes import Code
from rolltape.delivery import heartbeat as heartbeats
from rolltape.delivery import poll
from rolltape.service import bindings, reports
from rolltape.web.call import Call
from rolltape.web.operation import HEARTBEAT_LIMIT, Operation
from rolltape.web.params import PendingQuery
from rolltape.wire.command import Command, Go, Pending, Report
from rolltape.wire.device import DeviceToken
from rolltape.wire.heartbeat import Heartbeat, HeartbeatAnswer
from rolltape.wire.times import iso


async def heartbeat(call: Call[Heartbeat, None]) -> HeartbeatAnswer:
    return await heartbeats.heartbeat(call.app, call.caller, call.device_id, call.body, now=call.now)


async def pending(call: Call[None, PendingQuery]) -> Pending:
    offers = poll.pending(call.app, call.caller, call.device_id, wait=call.query.wait)
    if not call.query.wait:
        return await offers
    found = await call.shared.holds.hold_poll(call, call.device_id, offers)
    if found is not None:
        return found
    return Pending(commands=[], more=False, server_time=iso(call.app.clock.now_ms()))


async def acknowledge(call: Call[None, None]) -> Go:
    return await reports.acknowledge(call.app, call.caller, call.device_id, call.command_id, now=call.now)


async def report(call: Call[Report, None]) -> Command:
    return await reports.report(call.app, call.caller, call.device_id, call.command_id, call.body, now=call.now)


async def refresh_token(call: Call[None, None]) -> DeviceToken:
    return await bindings.refresh_token(call.app, call.device, now=call.now)


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/devices/{device_id}/heartbeat",
        name="heartbeat",
        summary="Say how the device is; acknowledge, report and be offered commands in the same round trip",
        description="Taken in the order acks, results, offers. Each item answers for itself and never fails the "
        "heartbeat. An API key may send it too, for a backend that relays.",
        group="Device plane",
        scope="devices:write",
        device=True,
        me=True,
        lenient=True,
        body=Heartbeat,
        body_optional=True,
        body_limit=HEARTBEAT_LIMIT,
        body_example={"battery_percent": 81, "device_state": "idle", "recording": None},
        answers={200: HeartbeatAnswer},
        handler=heartbeat,
    ),
    Operation(
        method="GET",
        path="/v1/devices/{device_id}/commands/pending",
        name="pollCommands",
        summary="Be offered the commands that wait, at once or as soon as there is one",
        description="With `wait` it comes back only for commands that were not offered on this route in the last 10 s. "
        "A device has two polls open at most; a third releases the oldest with an empty answer.",
        group="Device plane",
        scope="devices:write",
        device=True,
        me=True,
        lenient=True,
        poll=True,
        query=PendingQuery,
        answers={200: Pending},
        handler=pending,
    ),
    Operation(
        method="POST",
        path="/v1/devices/{device_id}/commands/{command_id}/ack",
        name="acknowledgeCommand",
        summary="Ask for the go, before acting",
        description="200: go. 409 `command_no_go`: drop it. Repeatable.",
        group="Device plane",
        scope="devices:write",
        device=True,
        me=True,
        lenient=True,
        ended_token=True,
        answers={200: Go},
        errors=(Code.COMMAND_NO_GO,),
        handler=acknowledge,
    ),
    Operation(
        method="POST",
        path="/v1/devices/{device_id}/commands/{command_id}/report",
        name="reportCommand",
        summary="Say how a command ended",
        description="A report always lands, also on a command that has expired or was cancelled. The same again: 200.",
        group="Device plane",
        scope="devices:write",
        device=True,
        me=True,
        lenient=True,
        ended_token=True,
        body=Report,
        body_example={"status": "executed", "result": {"recording_id": "rec_4Zp0Yv3mQ2k8Xc7Rt1Ws9B"}},
        answers={200: Command},
        errors=(Code.RESULT_CONFLICT,),
        handler=report,
    ),
    Operation(
        method="POST",
        path="/v1/devices/{device_id}/token/refresh",
        name="refreshDeviceToken",
        summary="Get a fresh device token",
        description="The old one works until the new one is first used, so a lost answer strands nobody.",
        group="Device plane",
        device=True,
        me=True,
        lenient=True,
        answers={200: DeviceToken},
        handler=refresh_token,
    ),
)
