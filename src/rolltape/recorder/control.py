"""The buttons on the device: start, stop, mute, unmute, status: lines of JSON over a Unix socket in the state folder.

One line `{"do": "start"}` is answered by one line `{"ok": true, ...}` or `{"ok": false, "code", "message"}`.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from rolltape.codes import Failure
from rolltape.recorder.heard import UNREADABLE
from rolltape.recorder.parts import Parts
from rolltape.recorder.studio import CannotDo, StartOrder
from rolltape.recorder.tapes import Tape
from rolltape.wire.times import iso

Word = Literal["start", "stop", "status", "mute", "unmute"]
SOCKET_NAME = "control.sock"
ANSWER_TIMEOUT_SEC = 30.0
_MAX_LINE = 4096


class NotRunning(Exception):
    """No recorder runs on that state folder."""


class _Request(msgspec.Struct, frozen=True):
    do: Word


class Buttons:
    """What a hand on the device can do. `press` never raises for what the device can't do: the answer says so."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def press(self, word: Word) -> dict[str, Any]:
        """Do it; answers what a reader of the socket is told."""
        try:
            return {"ok": True, **await self._do(word)}
        except CannotDo as cannot:
            return {"ok": False, "code": str(cannot.failure), "message": cannot.message}

    async def _do(self, word: Word) -> dict[str, Any]:
        studio = self._parts.studio
        if word == "start":
            if self._parts.is_resetting:
                raise CannotDo(Failure.INTERNAL, "a factory reset is under way")
            return _tape(await studio.start(StartOrder(max_seconds=self._parts.settings.local_max_duration_sec)))
        if word == "stop":
            return _tape(await studio.stop())
        if word in {"mute", "unmute"}:
            await studio.mute(word == "mute")
        return self._status()

    def _status(self) -> dict[str, Any]:
        parts = self._parts
        return {
            "device_id": parts.identity.known.device_id,
            "binding_generation": parts.identity.known.generation,
            "connected": parts.heard.is_set() and not parts.ended.is_set(),
            "token_ended": parts.ended.is_set(),
            "muted": parts.studio.is_muted,
            "recording": msgspec.to_builtins(parts.studio.now),
            "pending_recordings": len(parts.tapes.waiting()),
            "pending_reports": len(parts.journal.untold()),
            "replay_state_lost": parts.replay.lost,
        }


class ControlSocket:
    """Serves the buttons at `folder`/control.sock, for the folder's owner only."""

    def __init__(self, folder: Path, buttons: Buttons) -> None:
        self._folder = folder
        self._buttons = buttons
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to listen."""
        (self._folder / SOCKET_NAME).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _address(self._folder) as address:
            listener.bind(address)
        os.chmod(self._folder / SOCKET_NAME, 0o600)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_MAX_LINE)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            (self._folder / SOCKET_NAME).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            try:
                request = msgspec.json.decode(line, type=_Request)
                answer = await self._buttons.press(request.do)
            except UNREADABLE:
                answer = {"ok": False, "code": "invalid_request", "message": 'send one line like {"do": "status"}'}
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()
        except (OSError, ValueError):
            pass  # whoever asked is gone, or sent a line without an end
        finally:
            writer.close()


def send(state_dir: Path, word: Word, timeout: float = ANSWER_TIMEOUT_SEC) -> dict[str, Any]:
    """Press a button of the recorder that runs on `state_dir`. Blocking, `timeout` in seconds.

    Answers `{"ok": true, ...}` or `{"ok": false, "code", "message"}`; `start` and `stop` answer with the recording,
    the others with the status. Raises NotRunning.
    """
    request = msgspec.json.encode({"do": word}) + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line, _address(state_dir) as address:
            line.settimeout(timeout)
            line.connect(address)
            line.sendall(request)
            with line.makefile("rb") as answers:
                answer = answers.readline()
            return dict(msgspec.json.decode(answer))
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise NotRunning(f"no recorder answers on {state_dir}: start one with --state {state_dir}") from error


@contextlib.contextmanager
def _address(folder: Path) -> Iterator[str]:
    """The socket's address, by way of an open folder: a Unix socket's own path must be short, a folder's need not."""
    if not os.path.isdir("/proc/self/fd"):
        yield str(folder / SOCKET_NAME)
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{SOCKET_NAME}"
    finally:
        os.close(fd)


def _tape(tape: Tape) -> dict[str, Any]:
    found: dict[str, Any] = {"recording_id": tape.id, "started_at": iso(tape.started_ms)}
    if tape.ended_ms is not None:
        found |= {"ended_at": iso(tape.ended_ms), "duration_ms": tape.duration_ms}
    return found
