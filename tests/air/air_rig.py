"""A recorder that knows relays alone, and the relay that a test plays."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rolltape.recorder.device_key import DeviceKey
from rolltape.testing.recorder import FakeRecorder
from rolltape.testing.script_relay import ScriptRelay


def recorder_of(relay: ScriptRelay, folder: Path, *, signs: bool = True, **settings: Any) -> FakeRecorder:
    """One whose key the server knows, unless it has none."""
    state = folder / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    binding = relay.binding(DeviceKey(state).public if signs else None)
    return FakeRecorder(None, None, state, binding=binding, **settings)


@contextmanager
def rig(folder: Path, *, signs: bool = True, **settings: Any) -> Iterator[tuple[ScriptRelay, FakeRecorder]]:
    """A relay and a recorder, not connected yet."""
    relay = ScriptRelay()
    with recorder_of(relay, folder, signs=signs, **settings) as recorder:
        yield relay, recorder


def has_time(relay: ScriptRelay, recorder: FakeRecorder) -> None:
    """Wait until it has trusted time."""
    relay.wait_until(lambda: recorder.ask(lambda parts: parts.trusted.now_ms()) is not None, "trusted time")


def is_idle(recorder: FakeRecorder) -> bool:
    """Whether nothing is in hand."""
    return not recorder.ask(lambda parts: parts.journal.open_entries())


def untold(recorder: FakeRecorder) -> int:
    """How many reports no signed answer has confirmed."""
    return int(recorder.ask(lambda parts: len(parts.journal.untold())))


def kept(recorder: FakeRecorder) -> int:
    """How many recordings no signed answer has confirmed."""
    return int(recorder.ask(lambda parts: len(parts.tapes.waiting())))
