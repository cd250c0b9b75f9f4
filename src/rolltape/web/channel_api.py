"""The live channel's door: who may open one, and each frame from its text to the channel that takes it."""

from typing import Any, Final

from rolltape.codes import Code, Problem
from rolltape.delivery.channel import Channel, closing
from rolltape.web.body import BodyDecoder
from rolltape.web.call import Call, Receive, Send
from rolltape.web.errors import INTERNAL, log_unexpected
from rolltape.web.mending import mended
from rolltape.web.operation import HeaderParam, Operation, Switch
from rolltape.web.pipeline import bearer, bucket_of
from rolltape.web.shared import Shared
from rolltape.web.socket import Socket
from rolltape.wire.channel import DEVICE_FRAMES, SUBPROTOCOL, Close, Envelope, ErrorFrame, envelope_of
from rolltape.wire.ids import fingerprint

_DECODERS: Final[dict[str, BodyDecoder[Any]]] = {
    kind: BodyDecoder(frame, optional=False) for kind, frame in DEVICE_FRAMES.items()
}
_ITEMS: Final = frozenset({"acks", "results"})
_NO_FRAME: Final = Problem(Code.INVALID_REQUEST, "A frame is a JSON object with a `type`. Send one.")
_NO_SUBPROTOCOL: Final = Problem(
    Code.INVALID_REQUEST,
    f"Offer the subprotocol: send the header Sec-WebSocket-Protocol: {SUBPROTOCOL}.",
    param="Sec-WebSocket-Protocol",
)


async def no_upgrade(call: Call[None, None]) -> object:
    """A plain GET."""
    raise Problem(
        Code.INVALID_REQUEST,
        "This is a WebSocket: open it with Connection: Upgrade, Upgrade: websocket, and "
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL}. Where that can't be, poll.",
        param="Upgrade",
    )


async def channel(call: Call[None, None], send: Send) -> None:
    """A channel, from its opening to its end. `Problem` when it isn't opened."""
    shared, receive = call.shared, call.receive
    if SUBPROTOCOL not in call.scope["subprotocols"]:
        raise _NO_SUBPROTOCOL
    if shared.channels.draining:
        raise Problem(Code.UNAVAILABLE, "The server ends. Try again in a moment.", details={"retry_after": 5})
    socket = Socket(call.scope, send)
    opened = shared.channels.open(call.device, fingerprint(bearer(call)), socket)
    try:
        await socket.accept(SUBPROTOCOL, [(b"x-request-id", call.request_id.encode("ascii")), *call.limits])
        call.headers, call.limits = {}, ()
        shared.requests["openChannel", 101] += 1
        await _read(shared, opened, receive, call.request_id)
    finally:
        shared.channels.left(opened)


async def _read(shared: Shared, opened: Channel, receive: Receive, request_id: str) -> None:
    """Takes frame after frame until the line is gone. What comes after the channel was closed is dropped."""
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect" or opened.closed:
            continue
        opened.heard()
        text = message.get("text")
        if text is None:
            await opened.end(Close.UNSUPPORTED, "frames are text")
            continue
        await _in_turn(shared, opened)
        data, envelope = _unwrapped(text)
        try:
            await _take(shared, opened, data, envelope)
        except Problem as problem:
            await _refuse(opened, envelope, problem)
        except Exception as error:  # as in the pipeline: no exception's text reaches a device
            log_unexpected(error, "openChannel", request_id)
            await _refuse(opened, envelope, INTERNAL)


async def _in_turn(shared: Shared, opened: Channel) -> None:
    """A device that sends more than its rate is read more slowly; nothing of it is refused."""
    limiter = shared.device_rate
    while limiter.rate:
        standing = limiter.take(bucket_of(opened.who), shared.clock.monotonic())
        if not standing.retry_after:
            return
        await shared.clock.sleep(standing.retry_after)


def _unwrapped(text: str) -> tuple[bytes, Envelope | None]:
    """A frame's bytes, and its envelope if it has one. One wrong item among acks and results spoils nothing else."""
    data = text.encode("utf-8")
    envelope = envelope_of(data)
    if envelope is None and (readable := mended(data, _ITEMS)) is not None:
        return readable, envelope_of(readable)
    return data, envelope


async def _take(shared: Shared, opened: Channel, data: bytes, envelope: Envelope | None) -> None:
    decoder = None if envelope is None else _DECODERS.get(envelope.type)
    shared.channels.frames["unknown" if envelope is None or decoder is None else envelope.type] += 1
    if not opened.greeted and (envelope is None or envelope.type != "hello"):
        await opened.end(Close.NO_HELLO, "the first frame is a hello")
    elif envelope is None:
        raise _NO_FRAME
    elif decoder is not None:
        await opened.take(decoder.decode(data))


async def _refuse(opened: Channel, envelope: Envelope | None, problem: Problem) -> None:
    """Says what was wrong with a frame. The channel goes on, unless that was its hello or its token is over."""
    said = envelope or Envelope(type="")
    await opened.say(
        ErrorFrame(
            code=problem.code.value,
            message=problem.message,
            in_=said.type or None,
            id=said.shown_id,
            ref=said.shown_ref,
        )
    )
    if not opened.greeted or problem.code in (Code.TOKEN_REVOKED, Code.UNAUTHORIZED):
        await opened.end(*closing(problem))


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/devices/{device_id}/channel",
        name="openChannel",
        summary="Open the live channel: a WebSocket on which commands come as soon as there are any",
        description="JSON text frames both ways, as in docs/protocol.md: `hello`, `offer`, `ack`, `go` and `no_go`, "
        "`report`, `heartbeat`, `revoked`. A device has one; a newer one closes the older.",
        group="Device plane",
        device=True,
        me=True,
        lenient=True,
        headers=(
            HeaderParam(
                "Sec-WebSocket-Protocol", "The frames' version", {"type": "string", "const": SUBPROTOCOL}, required=True
            ),
        ),
        answers={101: Switch("From here on it is a WebSocket")},
        errors=(Code.INVALID_REQUEST,),
        handler=no_upgrade,
        socket=channel,
    ),
)
