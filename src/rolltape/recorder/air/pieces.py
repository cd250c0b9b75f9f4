"""Pieces of recordings, for a relay that fetches them over an encrypted link."""

from rolltape.recorder.parts import Parts
from rolltape.wire.ble.frames import ResultCode
from rolltape.wire.ble.to_device import Fetch
from rolltape.wire.ble.to_relay import Gone, Piece, Result

Reply = Piece | Gone | Result


class Pieces:
    """Reads them off the disk."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def answer(self, asked: Fetch, *, is_encrypted: bool) -> Reply:
        """The piece, or why there is none."""
        tape = self._parts.tapes.get(asked.recording_id)
        if not is_encrypted:
            return _refusal(ResultCode.NEEDS_ENCRYPTION, "pair first: sound goes over an encrypted link alone")
        if tape is None or tape.uploaded:
            return Gone(asked.recording_id)
        if tape.is_running or not tape.due:
            return _refusal(ResultCode.BUSY, "it is still being recorded" if tape.is_running else "it is held back")
        try:
            return self._piece(asked)
        except OSError:
            return Gone(asked.recording_id)

    def _piece(self, asked: Fetch) -> Reply:
        path = self._parts.tapes.sound(asked.recording_id)
        total = path.stat().st_size
        if asked.offset > total:
            return _refusal(ResultCode.BAD_BODY, f"it has {total} bytes")
        with path.open("rb") as file:
            file.seek(asked.offset)
            data = file.read(asked.length)
        return Piece(recording_id=asked.recording_id, offset=asked.offset, total=total, data=data)


def _refusal(code: ResultCode, detail: str) -> Result:
    return Result(about=Fetch.type, code=code, detail=detail)
