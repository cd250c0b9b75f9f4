"""The calls of a device, by name. Paths are docs/protocol.md's; ids have been checked before they come here."""

from typing import Any

from rolltape.recorder.channel import Channel
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.transport import Answer, Line, NoLine
from rolltape.wire.command import Report

SILENCE_SEC = 10
"""A long poll that says nothing for its wait and this long has been lost."""


class DeviceApi:
    """Every call raises Unreachable or TokenEnded; what else the server answers is the caller's to read.

    Heartbeats, acknowledgements and reports go over the live channel where it is up, else over HTTP.
    """

    def __init__(self, settings: RecorderSettings, line: Line | NoLine, channel: Channel) -> None:
        self._settings = settings
        self._line = line
        self._channel = channel

    @property
    def is_reached(self) -> bool:
        """Whether the last call was answered, or the channel is up."""
        return self._channel.up.is_set() or self._line.is_reached

    async def heartbeat(self, body: dict[str, Any]) -> Answer:
        answer = None
        if not (body.get("replay_state_lost") and self._channel.by_broker is not None):
            answer = await self._channel.heartbeat(body)
        return answer or await self._line.call("POST", "/v1/devices/me/heartbeat", body)

    async def pending(self) -> Answer:
        """The long poll."""
        wait = self._settings.poll_wait_sec
        return await self._line.call(
            "GET", "/v1/devices/me/commands/pending", query=f"wait={wait}", timeout=wait + SILENCE_SEC
        )

    async def ack(self, command_id: str) -> Answer:
        """Ask whether to act: 200 is go, 409 no go. No broker is asked that somebody else could speak for."""
        answer = None if self._channel.by_broker is False else await self._channel.ack(command_id)
        return answer or await self._line.call("POST", f"/v1/devices/me/commands/{command_id}/ack")

    async def report(self, command_id: str, report: Report) -> Answer:
        """A command that isn't of the present binding (404) may be of the one before, whose token speaks for it."""
        path, body = f"/v1/devices/me/commands/{command_id}/report", report_body(report)
        answer = await self._channel.report(command_id, body) or await self._line.call("POST", path, body)
        if answer.status == 404:
            answer = await self._line.call_as_before("POST", path, body) or answer
        return answer

    async def refresh_token(self) -> Answer:
        return await self._line.call("POST", "/v1/devices/me/token/refresh")

    async def keys(self) -> Answer:
        """The deployment's public keys."""
        return await self._line.call("GET", "/.well-known/jwks.json")

    async def create_recording(self, body: dict[str, Any]) -> Answer:
        return await self._line.call("POST", "/v1/recordings", body)

    async def upload_url(self, recording_id: str, file_size_bytes: int) -> Answer:
        body = {"type": "audio", "content_type": "audio/ogg", "file_size_bytes": file_size_bytes}
        return await self._line.call("POST", f"/v1/recordings/{recording_id}/upload-url", body)

    async def upload_complete(self, recording_id: str, body: dict[str, Any]) -> Answer:
        return await self._line.call("POST", f"/v1/recordings/{recording_id}/upload-complete", body)

    async def upload(
        self, method: str, url: str, *, headers: dict[str, str], content: bytes = b"", timeout: float | None = None
    ) -> Answer:
        """A call to an upload URL, which carries its own permission: the token never goes there."""
        return await self._line.raw(method, url, headers=headers, content=content, timeout=timeout)


def report_body(report: Report) -> dict[str, Any]:
    """A report as JSON, without what it doesn't say."""
    body: dict[str, Any] = {"status": report.status}
    if report.executed_at is not None:
        body["executed_at"] = report.executed_at
    if report.result is not None:
        body["result"] = report.result
    if report.error is not None:
        body["error"] = {"code": report.error.code, "message": report.error.message}
    return body
