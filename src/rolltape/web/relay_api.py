"""The relay plane: tokens on the backend's side, and all that a phone or a gateway does for a device with one.

The paths under /v1/relay are lenient, as the device plane is: what isn't known is ignored.
"""

from rolltape.codes import Code
from rolltape.delivery import relay as relays
from rolltape.delivery import relay_heartbeat, relay_stream
from rolltape.service import challenges, relay_reach, relay_recordings, relay_tokens, relay_words
from rolltape.web.call import Call, Reply, Stream
from rolltape.web.operation import HEARTBEAT_LIMIT, Content, HeaderParam, Operation
from rolltape.web.params import EndUserQuery, RelayCommandsQuery
from rolltape.web.recordings_api import base_url
from rolltape.wire.command import Command, Go
from rolltape.wire.recording import Recording, UploadUrl, UploadUrlRequest
from rolltape.wire.relay import (
    Challenge,
    ChallengeAnswer,
    Claimed,
    CreateRelayToken,
    RelayAck,
    RelayCommands,
    RelayCreateRecording,
    RelayDevices,
    RelayHeartbeat,
    RelayHeartbeatAnswer,
    RelayReport,
    RelayToken,
    RelayUploadComplete,
)

_LAST_EVENT_ID = "Last-Event-ID"


async def create_token(call: Call[CreateRelayToken, None]) -> RelayToken:
    return await relay_tokens.create_relay_token(call.app, call.key, call.body, now=call.now)


async def revoke_tokens(call: Call[None, EndUserQuery]) -> None:
    await relay_tokens.revoke_relay_tokens(call.app, call.key, call.query.end_user_id)


async def list_devices(call: Call[None, None]) -> RelayDevices:
    return await relay_reach.list_devices(call.app, call.relay)


async def commands(call: Call[None, RelayCommandsQuery]) -> RelayCommands:
    wait, cursor = call.query.wait, call.query.cursor
    work = relays.commands(call.app, call.relay, wait=wait, cursor=cursor)
    if not wait:
        return await work
    found = await call.shared.holds.hold_poll(call, f"relay poll {call.relay.token_n}", work)
    if found is not None:
        return found
    # Another poll took its place, or the server ends: where it was, it goes on.
    return await relays.nothing(call.app, call.relay, cursor)


async def stream(call: Call[None, None]) -> Stream:
    mark = relays.open_cursor(call.app, call.relay, call.text_header(b"last-event-id"), _LAST_EVENT_ID)
    pieces = relay_stream.events(call.app, call.relay, mark)
    return Stream(pieces, f"relay stream {call.relay.token_n}", b"text/event-stream")


async def challenge(call: Call[Challenge, None]) -> ChallengeAnswer:
    return await challenges.challenge(call.app, call.relay, call.device_id, call.body, now=call.now)


def _or_claimed(result: object) -> object:
    return Reply(result, 202) if isinstance(result, Claimed) else result


async def acknowledge(call: Call[RelayAck, None]) -> object:
    return _or_claimed(
        await relay_words.acknowledge(call.app, call.relay, call.device_id, call.command_id, call.body, now=call.now)
    )


async def report(call: Call[RelayReport, None]) -> object:
    return _or_claimed(
        await relay_words.report(
            call.app, call.relay, call.device_id, call.command_id, call.body, call.raw, now=call.now
        )
    )


async def heartbeat(call: Call[RelayHeartbeat, None]) -> object:
    raw = call.raw or b"{}"
    return _or_claimed(
        await relay_heartbeat.heartbeat(call.app, call.relay, call.device_id, call.body, raw, now=call.now)
    )


async def create_recording(call: Call[RelayCreateRecording, None]) -> Reply:
    recording, created = await relay_recordings.create_recording(
        call.app, call.relay, call.device_id, call.body, call.raw, now=call.now
    )
    return Reply(recording, 201 if created else 200)


async def upload_url(call: Call[UploadUrlRequest, None]) -> UploadUrl:
    return await relay_recordings.upload_url(
        call.app,
        call.relay,
        call.device_id,
        call.recording_id,
        call.body,
        base_url=base_url(call),
        now=call.now,
    )


async def complete_upload(call: Call[RelayUploadComplete, None]) -> object:
    return _or_claimed(
        await relay_recordings.complete_upload(
            call.app, call.relay, call.device_id, call.recording_id, call.body, call.raw or b"{}", now=call.now
        )
    )


TOKENS = (
    Operation(
        method="POST",
        path="/v1/relay-tokens",
        name="createRelayToken",
        summary="Let a phone or a gateway carry for one end user's devices",
        description="Short-lived, and shown this once. What it may serve is looked at in each call: a device that is "
        "given to somebody else is out of its reach at once.",
        group="Relay tokens",
        scope="devices:write",
        body=CreateRelayToken,
        body_example={"end_user_id": "eu_0QkXyWYv1Jm3cT5Zp8Rn2A", "ttl_seconds": 3600},
        answers={201: RelayToken},
        errors=(Code.NOT_FOUND,),
        handler=create_token,
    ),
    Operation(
        method="DELETE",
        path="/v1/relay-tokens",
        name="revokeRelayTokens",
        summary="End all relay tokens of an end user, at once",
        description="Polls that wait and streams that are open end too.",
        group="Relay tokens",
        scope="devices:write",
        query=EndUserQuery,
        answers={204: None},
        errors=(Code.NOT_FOUND,),
        handler=revoke_tokens,
    ),
)

RELAY = (
    Operation(
        method="GET",
        path="/v1/relay/devices",
        name="listRelayDevices",
        summary="The devices that this relay may serve",
        group="Relay plane",
        relay=True,
        lenient=True,
        answers={200: RelayDevices},
        handler=list_devices,
    ),
    Operation(
        method="GET",
        path="/v1/relay/commands",
        name="pollRelayCommands",
        summary="What to carry, and what to carry no more, at once or as soon as there is something",
        description="Without `cursor` all that waits, at most four commands a device. With it, what is new since; and "
        "all of it again, with fresh grants, before those that were handed out end. A relay has two polls open at "
        "most; a third releases the oldest with an empty answer.",
        group="Relay plane",
        relay=True,
        lenient=True,
        poll=True,
        query=RelayCommandsQuery,
        answers={200: RelayCommands},
        handler=commands,
    ),
    Operation(
        method="GET",
        path="/v1/relay/stream",
        name="streamRelayCommands",
        summary="The same as Server-Sent Events",
        description='Events `offer` (data: a RelayOffer) and `revoke` (data: `{"id"}`); the last of a batch has the '
        "cursor as its `id`. First what waits, then a comment line, and one whenever it was quiet for 15 s. "
        "`Last-Event-ID` goes on where a stream was, or where a poll's `cursor` was. It ends when the server does, "
        "and when the token does. A relay has two streams open at most; a third ends the oldest.",
        group="Relay plane",
        relay=True,
        lenient=True,
        poll=True,
        headers=(HeaderParam(_LAST_EVENT_ID, "Where to go on", {"type": "string", "maxLength": 512}),),
        answers={200: Content("text/event-stream", "Events, as long as it lasts")},
        handler=stream,
    ),
    Operation(
        method="POST",
        path="/v1/relay/devices/{device_id}/challenge",
        name="answerChallenge",
        summary="Fetch the signed answer to a device's nonce",
        description="Changes nothing, but for a floor that is asked for. `go` is what an acknowledgement would be "
        "answered; `status` and the recording's hash tell the device that what it had to tell has arrived.",
        group="Relay plane",
        relay=True,
        lenient=True,
        body=Challenge,
        body_example={"nonce": "AAECAwQFBgcICQoLDA0ODw", "jti": "cmd_0QkXyWYv1Jm3cT5Zp8Rn2A"},
        answers={200: ChallengeAnswer},
        handler=challenge,
    ),
    Operation(
        method="POST",
        path="/v1/relay/devices/{device_id}/commands/{command_id}/ack",
        name="relayAcknowledge",
        summary="Say that a device has a command",
        description="200: go. 409 `command_no_go`: drop it. 202: the device has a key and there is no receipt, so this "
        "is a claim that changes nothing.",
        group="Relay plane",
        relay=True,
        lenient=True,
        body=RelayAck,
        body_optional=True,
        body_example={"receipt": "0oRBoA…"},
        answers={200: Go, 202: Claimed},
        errors=(Code.COMMAND_NO_GO,),
        handler=acknowledge,
    ),
    Operation(
        method="POST",
        path="/v1/relay/devices/{device_id}/commands/{command_id}/report",
        name="relayReport",
        summary="Say how a command ended, for a device",
        description="With the device's receipt it is the device's signed word; without one, for a device that has a "
        "key, a claim (202); for a device without a key, the relay's word.",
        group="Relay plane",
        relay=True,
        lenient=True,
        body=RelayReport,
        body_example={"status": "executed", "result": {"recording_id": "rec_4Zp0Yv3mQ2k8Xc7Rt1Ws9B"}},
        answers={200: Command, 202: Claimed},
        errors=(Code.RESULT_CONFLICT,),
        handler=report,
    ),
    Operation(
        method="POST",
        path="/v1/relay/devices/{device_id}/heartbeat",
        name="relayHeartbeat",
        summary="Say how a device is",
        description="Makes no device online, offers nothing, and changes nothing of the state of one that is online "
        "itself (`taken`: false). 202: the device has a key and there is no receipt, so nothing was taken.",
        group="Relay plane",
        relay=True,
        lenient=True,
        body=RelayHeartbeat,
        body_optional=True,
        body_limit=HEARTBEAT_LIMIT,
        body_example={"battery_percent": 81, "device_state": "idle", "recording": None},
        answers={200: RelayHeartbeatAnswer, 202: Claimed},
        handler=heartbeat,
    ),
    Operation(
        method="POST",
        path="/v1/relay/devices/{device_id}/recordings",
        name="relayCreateRecording",
        summary="Announce a recording of a device",
        description="As POST /v1/recordings by the device itself; only what it recorded for this relay's end user.",
        group="Relay plane",
        relay=True,
        lenient=True,
        body=RelayCreateRecording,
        body_example={"id": "rec_4Zp0Yv3mQ2k8Xc7Rt1Ws9B", "started_at": "2026-01-02T03:04:05.678Z"},
        answers={201: Recording, 200: Recording},
        errors=(Code.ID_CONFLICT,),
        handler=create_recording,
    ),
    Operation(
        method="POST",
        path="/v1/relay/devices/{device_id}/recordings/{recording_id}/upload-url",
        name="relayUploadUrl",
        summary="Get a signed URL to send a device's bytes to",
        group="Relay plane",
        relay=True,
        lenient=True,
        body=UploadUrlRequest,
        body_example={"type": "audio", "content_type": "audio/ogg", "file_size_bytes": 48123},
        answers={201: UploadUrl},
        errors=(Code.UPLOAD_CONFLICT,),
        handler=upload_url,
    ),
    Operation(
        method="POST",
        path="/v1/relay/devices/{device_id}/recordings/{recording_id}/upload-complete",
        name="relayCompleteUpload",
        summary="Say that all of a device's bytes are sent, and what they should be",
        description="202: the device has a key and there is no receipt, so this is a claim: the recording stays as it "
        "is, with its bytes, until the device's own word comes.",
        group="Relay plane",
        relay=True,
        lenient=True,
        body=RelayUploadComplete,
        body_optional=True,
        body_example={"file_size_bytes": 48123, "duration_ms": 12040},
        answers={200: Recording, 202: Claimed},
        errors=(Code.INTEGRITY_FAILURE, Code.UPLOAD_INCOMPLETE, Code.UPLOAD_CONFLICT),
        handler=complete_upload,
    ),
)
