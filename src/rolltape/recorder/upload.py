"""Sending finished recordings: from where the server's copy ends, in pieces, until the server vouches for the whole."""

import asyncio
from pathlib import Path

from rolltape.recorder.heard import UploadUrlHeard
from rolltape.recorder.log import log
from rolltape.recorder.parts import Parts
from rolltape.recorder.tapes import Tape, completion_of
from rolltape.recorder.transport import Answer, TokenEnded, Unreachable

SLOWEST_BYTES_PER_SEC = 4096
"""An upload slower than this is taken for a broken one and begun again where it was."""
_TUS = {"Tus-Resumable": "1.0.0"}


class Upload:
    """The loop that uploads, one recording at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._whole_again: set[str] = set()

    async def run(self) -> None:
        """For ever."""
        backoff = self._parts.backoff()
        while True:
            tapes = [tape for tape in self._parts.tapes.waiting() if self._is_ready(tape)]
            if not tapes:
                backoff.succeeded()
                await self._parts.bells.upload.wait()
                continue
            retry_after = 0.0
            failures = 0
            for tape in tapes:
                try:
                    await self._one(tape)
                except Unreachable as trouble:
                    log(f"{tape.id}: upload waits: {trouble}")
                    failures += 1
                    retry_after = max(retry_after, trouble.retry_after or 0.0)
                except TokenEnded:
                    await self._parts.end_token()
                    failures += 1
                except KeyError:
                    log(f"{tape.id}: the server has it already, by way of a relay")
            if failures:
                await self._parts.clock.sleep(retry_after)
                await self._parts.bells.upload.wait(backoff.next())

    def _is_ready(self, tape: Tape) -> bool:
        return tape.due and tape.registered and self._parts.is_told_of(tape)

    async def _one(self, tape: Tape) -> None:
        path = self._parts.tapes.sound(tape.id)
        if not path.exists():
            log(f"{tape.id}: its sound is gone from this disk")
            self._parts.tapes.discard(tape.id)
            return
        size = path.stat().st_size
        if tape.sha256 is None:
            tape = await self._parts.tapes.hashed(tape.id)
        if not tape.sent:
            await self._send(tape, path, size)
            tape = self._parts.tapes.change(tape.id, sent=True)
        await self._complete(tape, size)
        self._parts.tapes.change(tape.id, uploaded=True)
        log(f"{tape.id}: uploaded, {size} bytes")
        if not self._parts.settings.keep_uploaded:
            self._parts.tapes.discard(tape.id)
        self._parts.bells.beat.ring()

    async def _send(self, tape: Tape, path: Path, size: int) -> None:
        answer = await self._parts.api.upload_url(tape.id, size)
        if answer.status == 409:  # the server has it already: an answer of ours was lost
            return
        if not answer.ok:
            self._unknown(tape, answer)
            raise _refused(answer)
        to = answer.read(UploadUrlHeard)
        offset = None if tape.id in self._whole_again else await self._offset(to.upload_url)
        if offset is None:
            await self._put(to, path, size)
        else:
            await self._resume(to.upload_url, path, offset, size)
        self._whole_again.discard(tape.id)

    async def _offset(self, url: str) -> int | None:
        """How many bytes the server has; None where it doesn't take an upload in pieces."""
        answer = await self._parts.api.upload("HEAD", url, headers=dict(_TUS))
        text = answer.headers.get("upload-offset", "")
        return int(text) if answer.ok and text.isascii() and text.isdigit() else None

    async def _resume(self, url: str, path: Path, offset: int, size: int) -> None:
        with path.open("rb") as file:
            while offset < size:
                file.seek(offset)
                piece = file.read(self._parts.settings.upload_chunk_bytes)
                headers = _TUS | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
                answer = await self._parts.api.upload(
                    "PATCH", url, headers=headers, content=piece, timeout=self._patience(len(piece))
                )
                if not answer.ok:
                    raise _refused(answer)
                offset += len(piece)

    async def _put(self, to: UploadUrlHeard, path: Path, size: int) -> None:
        content = await asyncio.to_thread(path.read_bytes)
        answer = await self._parts.api.upload(
            "PUT", to.upload_url, headers=to.headers, content=content, timeout=self._patience(size)
        )
        if not answer.ok:
            raise _refused(answer)

    def _patience(self, size: int) -> float:
        return self._parts.settings.http_timeout_sec + size / SLOWEST_BYTES_PER_SEC

    async def _complete(self, tape: Tape, size: int) -> None:
        answer = await self._parts.api.upload_complete(tape.id, completion_of(tape, size))
        if answer.ok:
            return
        self._unknown(tape, answer)
        if answer.error.code == "integrity_failure":  # hash it again, and send the whole again
            self._whole_again.add(tape.id)
            self._parts.tapes.change(tape.id, sent=False, sha256=None)
        elif answer.error.code == "upload_incomplete":
            self._parts.tapes.change(tape.id, sent=False)
        raise _refused(answer)

    def _unknown(self, tape: Tape, answer: Answer) -> None:
        """A server that doesn't know the recording is told of it anew; whether it was deleted, it says then."""
        if answer.status == 404:
            self._parts.tapes.change(tape.id, registered=False, sent=False)
            self._parts.bells.register.ring()


def _refused(answer: Answer) -> Unreachable:
    return Unreachable(f"the server answered {answer.status} {answer.error.code}".rstrip())
