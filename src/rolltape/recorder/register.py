"""Telling the server of each recording as soon as it has begun, or as soon as the server can be reached."""

from rolltape.recorder.log import log
from rolltape.recorder.parts import Parts
from rolltape.recorder.tapes import Tape, creation_of
from rolltape.recorder.transport import TokenEnded, Unreachable


class Register:
    """The loop that registers recordings."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self) -> None:
        """For ever."""
        backoff = self._parts.backoff()
        while True:
            tapes = [tape for tape in self._parts.tapes.all() if self._is_news(tape)]
            if not tapes:
                backoff.succeeded()
                await self._parts.bells.register.wait()
                continue
            try:
                kept = [tape for tape in tapes if not await self._one(tape)]
                pause = backoff.next() if kept else 0.0
            except Unreachable as trouble:
                pause = backoff.next()
                if trouble.retry_after is not None:
                    await self._parts.clock.sleep(trouble.retry_after)
            except TokenEnded:
                await self._parts.end_token()
                pause = self._parts.settings.backoff_most_sec
            if pause:
                await self._parts.bells.register.wait(pause)

    def _is_news(self, tape: Tape) -> bool:
        return not tape.registered and not self._parts.studio.is_beginning(tape.id)

    async def _one(self, tape: Tape) -> bool:
        answer = await self._parts.api.create_recording(creation_of(tape))
        if answer.error.code == "id_conflict" and answer.error.status == "deleted":
            return self._throw_away(tape.id)
        if not answer.ok:
            log(f"{tape.id}: not registered: {answer.status} {answer.error.code}")
            return False
        if self._parts.tapes.get(tape.id) is not None:
            self._parts.tapes.change(tape.id, registered=True)
            self._parts.bells.upload.ring()
        return True

    def _throw_away(self, tape_id: str) -> bool:
        """The server has deleted the recording: its sound goes too, as soon as it is not being written any more."""
        tape = self._parts.tapes.get(tape_id)
        if tape is not None and tape.is_running:
            return False
        log(f"{tape_id}: deleted on the server, so it is deleted here")
        self._parts.tapes.discard(tape_id)
        return True
