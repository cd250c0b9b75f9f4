"""Fetching recordings from a device: piece after piece, each checked and on disk before the next is asked for."""

import asyncio

from rolltape.backoff import Wake
from rolltape.relay.link import Link, NotPaired
from rolltape.relay.log import log
from rolltape.relay.parts import Parts
from rolltape.relay.shelf import Facts, Progress
from rolltape.relay.talk import Junk, Talk
from rolltape.wire.ble.frames import ResultCode
from rolltape.wire.ble.to_device import Fetch, Taken
from rolltape.wire.ble.to_relay import Gone, Piece, Result

_PIECE_SEC = 30.0
_BUSY_SEC = 2.0
_MOST_FAILURES = 8
Reply = Piece | Gone | Result | None


class Fetcher:
    """The loop that fetches what the device has announced in this session."""

    def __init__(self, parts: Parts, device_id: str, talk: Talk, link: Link) -> None:
        self._parts, self._device_id, self._talk, self._link = parts, device_id, talk, link
        self._wanted: dict[str, None] = {}
        self._reply: asyncio.Future[Reply] | None = None
        self._failures = 0
        self._bell = Wake(parts.clock)

    @property
    def is_busy(self) -> bool:
        """Whether a recording is being fetched."""
        return bool(self._wanted)

    def want(self, recording_id: str) -> None:
        """It lies on the shelf, not whole yet."""
        self._wanted.setdefault(recording_id)
        self._bell.ring()

    def heard(self, reply: Piece | Gone | Result) -> None:
        """What the device answered; nobody asked for anything else."""
        if isinstance(reply, Gone):
            self._wanted.pop(reply.recording_id, None)
            facts = self._parts.shelf.get(self._device_id, reply.recording_id)
            if facts is not None and not facts.is_whole:
                self._parts.shelf.drop(facts)
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    def lost_something(self) -> None:
        """A message could not be read: it may have been the piece."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(None)

    async def run(self) -> None:
        """For ever. Raises LinkLost, and Junk for a device that gives no sound that fits."""
        while True:
            recording_id = next(iter(self._wanted), None)
            facts = None if recording_id is None else self._parts.shelf.get(self._device_id, recording_id)
            if recording_id is None:
                await self._bell.wait()
            elif facts is None or facts.is_whole:
                self._wanted.pop(recording_id)
            else:
                await self._piece(facts)

    async def _piece(self, facts: Facts) -> None:
        length = min(self._talk.piece_bytes, facts.size - facts.held)
        reply = await self._ask(Fetch(recording_id=facts.recording_id, offset=facts.held, length=length))
        if isinstance(reply, Piece) and self._fits(reply, facts, length):
            await self._keep(facts, reply.data)
        elif isinstance(reply, Result):
            await self._refused(facts, reply)
        elif not isinstance(reply, Gone):
            self._failed("gives no piece that fits")

    async def _ask(self, fetch: Fetch) -> Reply:
        self._reply = asyncio.get_running_loop().create_future()
        try:
            await self._talk.say(fetch)
            return await self._parts.clock.wait(self._reply, _PIECE_SEC)
        finally:
            self._reply = None

    @staticmethod
    def _fits(piece: Piece, facts: Facts, length: int) -> bool:
        same = (piece.recording_id, piece.offset, piece.total) == (facts.recording_id, facts.held, facts.size)
        return same and 0 < len(piece.data) <= length

    async def _keep(self, facts: Facts, data: bytes) -> None:
        try:
            now = await asyncio.to_thread(self._parts.shelf.add, facts, data)
        except ValueError:
            return  # it was announced as another one meanwhile
        if now.held > facts.held:
            self._failures = 0
            self._parts.progress(Progress(now.device_id, now.recording_id, now.held, now.size))
        else:
            self._failed("has a recording that doesn't fit its hash")
        if now.is_whole:
            self._wanted.pop(now.recording_id, None)
            await self._talk.say(Taken(what=0x85, id=now.recording_id))
            self._parts.bells.upload.ring()

    async def _refused(self, facts: Facts, result: Result) -> None:
        if result.code == ResultCode.NEEDS_ENCRYPTION:
            await self._pair()
        elif result.code == ResultCode.BUSY:
            await self._parts.clock.sleep(_BUSY_SEC)
        elif result.code == ResultCode.NO_SUCH_RECORDING:
            self._wanted.pop(facts.recording_id, None)
        else:
            self._failed(f"refuses a fetch: {result.code} {result.detail}")

    async def _pair(self) -> None:
        try:
            await self._link.pair()
        except NotPaired as error:
            log(f"{self._device_id}: no audio without pairing: {error}")
            self._wanted.clear()
            return
        self._failed("asks for pairing again and again")  # counted, and forgotten with the first piece

    def _failed(self, why: str) -> None:
        self._failures += 1
        if self._failures >= _MOST_FAILURES:
            raise Junk(why)
