"""What devices have said and is not yet on the disk: heartbeats cost no write of their own."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from rolltape.store.connections import Connections
from rolltape.store.inputs import StateDelta

_RECORDING = ("rec_said", "rec_id", "rec_started_at", "rec_initiated_by", "rec_as_of", "rec_evidence")
_APART = ("tenant_n", "online_until")
_PLAIN = tuple(name for name in StateDelta.__struct_fields__ if name not in (*_RECORDING, *_APART))

Write = Callable[[Any, dict[str, StateDelta]], Coroutine[Any, Any, None]]


class PendingStates:
    """Deltas by device: at most one each. They are written every few seconds, and before each read."""

    def __init__(self, at: Connections, write: Write) -> None:
        """`write` is the operation that writes them."""
        self._at = at
        self._write = write
        self._deltas: dict[str, StateDelta] = {}
        self._flushing = asyncio.Lock()

    def note(self, device_id: str, delta: StateDelta) -> None:
        """Keeps it; what it says replaces what was said before."""
        before = self._deltas.setdefault(device_id, delta)
        if before is not delta:
            _merge(before, delta)

    def expected_at(self, device_id: str) -> int | None:
        """When the device is to come next, if it said so since the last batch."""
        delta = self._deltas.get(device_id)
        return None if delta is None else delta.next_contact_at

    async def flush(self) -> None:
        """Writes all of it; also what another flush is just writing is on the disk when this comes back."""
        async with self._flushing:
            deltas, self._deltas = self._deltas, {}
            if not deltas:
                return
            try:
                await self._at.write(self._write, deltas)
            except BaseException:
                self._put_back(deltas)
                raise

    def _put_back(self, deltas: dict[str, StateDelta]) -> None:
        for device_id, newer in self._deltas.items():
            if device_id in deltas:
                _merge(deltas[device_id], newer)
            else:
                deltas[device_id] = newer
        self._deltas = deltas


def _merge(into: StateDelta, newer: StateDelta) -> None:
    into.online_until = max(into.online_until, newer.online_until)
    for name in _PLAIN:
        value = getattr(newer, name)
        if value is not None:
            setattr(into, name, value)
    if newer.rec_said:
        same = newer.rec_id == into.rec_id
        for name in _RECORDING:
            value = getattr(newer, name)
            if value is not None or not same:
                setattr(into, name, value)
