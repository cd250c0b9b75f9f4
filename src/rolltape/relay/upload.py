"""From the shelf to the server: whole recordings, from where the server's copy ends, until it vouches for the whole."""

import asyncio

from rolltape.relay.line import Answer, Unreachable
from rolltape.relay.log import log
from rolltape.relay.parts import Parts
from rolltape.relay.server import RecordingHeard, UploadUrlHeard
from rolltape.relay.shelf import Facts
from rolltape.relay.token import TokenEnded

SLOWEST_BYTES_PER_SEC = 4096
"""An upload slower than this is taken for a broken one and begun again where it was."""
_TUS = {"Tus-Resumable": "1.0.0"}


CLAIMED = 202
"""What was said for a device that signs, without its receipt, changed nothing."""


class NotTaken(Exception):
    """The server will never take this recording from this relay."""


class Upload:
    """The loop that uploads, one recording at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._whole_again: set[str] = set()

    async def run(self) -> None:
        """For ever."""
        backoff = self._parts.backoff()
        while True:
            failures = 0
            for facts in self._parts.shelf.whole():
                failures += not await self._try(facts)
            if failures:
                await self._parts.bells.upload.wait(backoff.next())
            elif not self._parts.shelf.whole():
                backoff.succeeded()
                await self._parts.bells.upload.wait()

    async def _try(self, facts: Facts) -> bool:
        """Whether it is off the shelf now."""
        try:
            await self._one(facts)
        except Unreachable as trouble:
            log(f"{facts.recording_id}: upload waits: {trouble}")
            if trouble.offline:
                self._parts.network.lost(trouble)
            await self._parts.clock.sleep(trouble.retry_after or 0.0)
            return False
        except TokenEnded:
            await self._parts.new_token()
            return False
        except NotTaken as refusal:
            log(f"{facts.recording_id}: not taken: {refusal}")
            self._parts.refused.note(facts.device_id, facts.recording_id)
        else:
            log(f"{facts.recording_id}: uploaded, {facts.size} bytes")
        self._parts.shelf.drop(facts)
        self._parts.told(facts.device_id)
        return True

    async def _one(self, facts: Facts) -> None:
        if await is_uploaded(self._parts, facts):
            return
        await self._send(facts)
        answer = await self._parts.server.upload_complete(facts.device_id, facts.recording_id, facts.complete.encode())
        if answer.status == CLAIMED:
            raise NotTaken("the device has a key, and its word on this recording isn't signed")
        if answer.ok:
            return
        if answer.error.code == "integrity_failure":
            await self._mend(facts)
        if answer.error.code in {"integrity_failure", "upload_incomplete"}:
            raise Unreachable(answer.said)
        raise NotTaken(answer.said)

    async def _mend(self, facts: Facts) -> None:
        """The server's bytes aren't what was recorded: send all again, or, where ours are wrong, fetch all again."""
        if await asyncio.to_thread(self._parts.shelf.is_right, facts):
            self._whole_again.add(facts.name)
        else:
            self._parts.shelf.again(facts)

    async def _send(self, facts: Facts) -> None:
        answer = await self._parts.server.upload_url(
            facts.device_id, facts.recording_id, facts.content_type, facts.size
        )
        if answer.status == 409:  # the server has it already: an answer was lost, or another relay was faster
            return
        if not answer.ok:
            raise NotTaken(answer.said)
        to = answer.read(UploadUrlHeard)
        offset = None if facts.name in self._whole_again else await self._offset(to.upload_url)
        if offset is None:
            await self._put(to, facts)
        else:
            await self._resume(to.upload_url, facts, offset)
        self._whole_again.discard(facts.name)

    async def _offset(self, url: str) -> int | None:
        """How many bytes the server has; None where it doesn't take an upload in pieces."""
        answer = await self._parts.server.upload("HEAD", url, headers=dict(_TUS))
        text = answer.headers.get("upload-offset", "")
        return int(text) if answer.ok and text.isascii() and text.isdigit() else None

    async def _resume(self, url: str, facts: Facts, offset: int) -> None:
        with self._parts.shelf.sound(facts).open("rb") as file:
            while offset < facts.size:
                file.seek(offset)
                piece = file.read(self._parts.settings.upload_chunk_bytes)
                headers = _TUS | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
                _want(
                    await self._parts.server.upload(
                        "PATCH", url, headers=headers, content=piece, timeout=self._patience(len(piece))
                    )
                )
                offset += len(piece)

    async def _put(self, to: UploadUrlHeard, facts: Facts) -> None:
        content = await asyncio.to_thread(self._parts.shelf.sound(facts).read_bytes)
        _want(
            await self._parts.server.upload(
                "PUT", to.upload_url, headers=to.headers, content=content, timeout=self._patience(facts.size)
            )
        )

    def _patience(self, size: int) -> float:
        return self._parts.settings.http_timeout_sec + size / SLOWEST_BYTES_PER_SEC


async def is_uploaded(parts: Parts, facts: Facts) -> bool:
    """Make a recording known to the server; whether it has all of it already. Raises NotTaken where it refuses it."""
    answer = await parts.server.create_recording(facts.device_id, facts.create.encode())
    parts.token_works()
    if not answer.ok:
        raise NotTaken(answer.said)
    return answer.read(RecordingHeard).status == "uploaded"


def _want(answer: Answer) -> None:
    if not answer.ok:
        raise Unreachable(answer.said)
