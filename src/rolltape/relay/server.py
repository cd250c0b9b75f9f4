"""The server's relay plane (docs/relay.md), a call each. What a device said goes on as it was said, byte for byte."""

from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Raw, Struct

from rolltape.relay.line import UNREADABLE, Answer, Line, json
from rolltape.wire.ids import is_id
from rolltape.wire.keys import b64url, un_b64url

HELD_SLACK_SEC = 10.0


class DeviceHeard(Struct, frozen=True):
    """A device that this relay may serve."""

    id: str
    binding_generation: int = 0
    has_key: bool = False


class _DevicesHeard(Struct, frozen=True):
    data: list[Raw] = []


class OfferHeard(Struct, frozen=True):
    """An offer. The grant is the command; the rest is unsigned, and only orders the grants."""

    id: str
    device_id: str
    grant_cwt: str
    seq: int = 0
    type: str = ""


class CommandsHeard(Struct, frozen=True):
    """What waits for the devices, and what no longer does."""

    commands: list[Raw] = []
    revoked: list[Raw] = []
    cursor: str | None = None
    server_time: str | None = None

    @property
    def offers(self) -> list[OfferHeard]:
        """The offers that can be read."""
        found = _each(self.commands, OfferHeard)
        return [offer for offer in found if is_id("cmd", offer.id) and is_id("dev", offer.device_id)]

    @property
    def revoked_ids(self) -> list[str]:
        """The commands that are no longer to be done."""
        return [id_ for id_ in _each(self.revoked, str) if is_id("cmd", id_)]


class RecordingHeard(Struct, frozen=True):
    """A recording as the server has it."""

    status: str = ""


class UploadUrlHeard(Struct, frozen=True):
    """Where to send the bytes of a recording."""

    upload_url: str
    headers: dict[str, str] = {}


class _AnswerHeard(Struct, frozen=True):
    answer_cwt: str


class RelayServer:
    """The calls. Each raises Unreachable and TokenEnded; a refusal is an Answer."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def devices(self) -> list[DeviceHeard] | Answer:
        """The devices that this relay may serve."""
        answer = await self._line.call("GET", "/v1/relay/devices")
        if not answer.ok:
            return answer
        found = _each(answer.read(_DevicesHeard).data, DeviceHeard)
        return [device for device in found if is_id("dev", device.id)]

    async def commands(self, cursor: str | None, wait: int) -> CommandsHeard | Answer:
        """What waits, held for up to `wait` seconds until something does that `cursor` doesn't know of."""
        query = {"wait": str(wait)} | ({"cursor": cursor} if cursor is not None else {})
        path = f"/v1/relay/commands?{urlencode(query)}"
        answer = await self._line.call("GET", path, timeout=wait + HELD_SLACK_SEC)
        return answer.read(CommandsHeard) if answer.ok else answer

    async def challenge(
        self, device_id: str, question: dict[str, Any], *, timeout: float | None = None
    ) -> bytes | Answer:
        """The signed answer to a device's nonce; `question` is the body."""
        answer = await self._line.call("POST", f"{_device(device_id)}/challenge", json(question), timeout=timeout)
        if not answer.ok:
            return answer
        try:
            return un_b64url(answer.read(_AnswerHeard).answer_cwt)
        except ValueError:
            return answer

    async def ack(self, device_id: str, command_id: str, body: bytes, *, timeout: float | None = None) -> Answer:
        """Tell that the device has a command. `body`: `{}`, or its receipt in it."""
        path = f"{_device(device_id)}/commands/{quote(command_id, safe='')}/ack"
        return await self._line.call("POST", path, body, timeout=timeout)

    async def report(self, device_id: str, command_id: str, body: bytes, *, timeout: float | None = None) -> Answer:
        """Tell how a command ended."""
        path = f"{_device(device_id)}/commands/{quote(command_id, safe='')}/report"
        return await self._line.call("POST", path, body, timeout=timeout)

    async def heartbeat(self, device_id: str, body: bytes, *, timeout: float | None = None) -> Answer:
        """Tell how the device is."""
        return await self._line.call("POST", f"{_device(device_id)}/heartbeat", body, timeout=timeout)

    async def create_recording(self, device_id: str, body: bytes) -> Answer:
        """Make a recording known; the same again is fine."""
        return await self._line.call("POST", f"{_device(device_id)}/recordings", body)

    async def upload_url(self, device_id: str, recording_id: str, content_type: str, size: int) -> Answer:
        """Ask where to send the bytes."""
        body = json({"type": "audio", "content_type": content_type, "file_size_bytes": size})
        return await self._line.call("POST", f"{_recording(device_id, recording_id)}/upload-url", body)

    async def upload_complete(self, device_id: str, recording_id: str, body: bytes) -> Answer:
        """Say that all bytes are there, and their hash."""
        return await self._line.call("POST", f"{_recording(device_id, recording_id)}/upload-complete", body)

    async def upload(
        self, method: str, url: str, *, headers: dict[str, str], content: bytes = b"", timeout: float | None = None
    ) -> Answer:
        """Talk to where the bytes go: a signed URL, so without the token."""
        return await self._line.raw(method, url, headers=headers, content=content, timeout=timeout)


def with_receipt(body: bytes, receipt: bytes | None) -> bytes:
    """A JSON object that a device sent, and its receipt beside it. ValueError where it is no JSON object.

    The object's values stay as they are, to the byte: the receipt signs them.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, Raw])
    except UNREADABLE as error:
        raise ValueError(f"not a JSON object: {type(error).__name__}") from None
    fields.pop("receipt", None)
    if receipt is not None:
        fields["receipt"] = Raw(json(b64url(receipt)))
    return json(fields)


def _each(items: list[Raw], shape: type[Any]) -> list[Any]:
    """The items that can be read; the others are passed over."""
    found = []
    for item in items:
        try:
            found.append(msgspec.json.decode(item, type=shape))
        except UNREADABLE:
            continue
    return found


def _device(device_id: str) -> str:
    return f"/v1/relay/devices/{quote(device_id, safe='')}"


def _recording(device_id: str, recording_id: str) -> str:
    return f"{_device(device_id)}/recordings/{quote(recording_id, safe='')}"
