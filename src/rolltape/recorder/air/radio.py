"""Keeping the radio on: opened when the recorder starts, and again after it was lost."""

from rolltape.recorder.air.session import Session
from rolltape.recorder.ble.adapter import RadioMissing, on_adapter
from rolltape.recorder.log import log
from rolltape.recorder.parts import Parts

_AGAIN_SEC = 30.0


class OnAir:
    """The loop that has the radio on `adapter`."""

    def __init__(self, parts: Parts, session: Session, adapter: str) -> None:
        self._parts = parts
        self._session = session
        self._adapter = adapter

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                async with on_adapter(self._adapter, self._session, self._parts.clock) as peripheral:
                    await peripheral.run(lambda: log(f"on the air, by {self._adapter}"))
            except RadioMissing as missing:
                log(str(missing))
            await self._parts.clock.sleep(_AGAIN_SEC)
