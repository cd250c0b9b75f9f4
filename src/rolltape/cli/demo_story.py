"""The demo's story: a backend tells a recorder to record, and gets the recording back."""

import hashlib
import re
import secrets
import shlex
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rolltape.cli.demo_page import Page
from rolltape.cli.demo_processes import ROLLTAPE, Child, StoryBroken, rolltape
from rolltape.cli.demo_sound import MICROPHONE, MicrophoneSearch, seconds_of
from rolltape.cli.exits import ExitCode
from rolltape.cli.output import console, size
from rolltape.clock import SystemClock
from rolltape.sdk.client import Client
from rolltape.sdk.errors import RolltapeError
from rolltape.wire.command import Command
from rolltape.wire.device import BoundDevice
from rolltape.wire.recording import Recording

T = TypeVar("T")
UP_SEC = 30.0
LOOK_SEC = 0.1
_WAIT_SEC = 15.0
_SLACK_SEC = 0.75
"""How far the decoded length may be from what the recorder said: an encoder's delay and a last packet."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the demo was asked to do."""

    once: bool
    seconds: float
    source: str | None
    port: int
    keep: Path | None


def tell(wishes: Wishes, kind: "type[Story]") -> int:
    """Tell the story and clean up; the exit code is 0 only if all went well."""
    base = wishes.keep or Path(tempfile.mkdtemp(prefix="rolltape-demo-"))
    base.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _interrupt)
    story = kind(wishes, base)
    good = False
    try:
        good = story.run()
    finally:
        good = story.end() and good
        _clean(wishes, base, good)
    return ExitCode.OK if good else ExitCode.FAILED


def new_serial() -> str:
    """A serial number that no other demo has."""
    return f"DEMO-{secrets.token_hex(3).upper()}"


def _url_in(line: str) -> str:
    found = re.search(r"https?://\S+", line)
    if found is None:
        raise StoryBroken(f"the server said {line!r} and no URL")
    return found[0]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _clean(wishes: Wishes, base: Path, good: bool) -> None:
    """Without --keep nothing stays, except the audio file of a good --once run, which its caller is about to open."""
    if wishes.keep is not None:
        return
    shutil.rmtree(base / "work", ignore_errors=True)
    if not (wishes.once and good):
        shutil.rmtree(base, ignore_errors=True)


class Story:
    """The story with a recorder that has a network."""

    title = "Rolltape: command a recorder and get its recording back"

    def __init__(self, wishes: Wishes, base: Path) -> None:
        self.wishes, self.base, self.work = wishes, base, base / "work"
        self.work.mkdir(exist_ok=True)
        self.clock = SystemClock()
        self.page = Page(console(), self.clock)
        self.children: list[Child] = []
        self.url = self.key = ""

    def run(self) -> bool:
        """Whether it went well. Ctrl-C after the story is a good end; before, it isn't."""
        told = False
        try:
            self._tell()
            told = True
            if not self.wishes.once:
                self._stay_up()
        except KeyboardInterrupt:
            if not told:
                self.page.broken("broken off")
            return told
        except (StoryBroken, RolltapeError, OSError) as error:
            self._broken(error)
            return False
        return True

    def _tell(self) -> None:
        self.page.heading(self.title)
        source = self._server_up()
        with Client(self.url, self.key) as client:
            device = self.recorder_up(client, source)
            self.page.heading("The backend tells the recorder to record")
            start = self.command(client, device, "start_recording")
            self._let_it_record()
            stop = self.command(client, device, "stop_recording")
            self.page.heading("The recording comes back")
            recording = self.uploaded(client, start)
            audio = self._download(client, recording)
            self._timeline(client, device, [start, stop])
        self._by_hand(device, recording, audio)

    def _server_up(self) -> str:
        search = None if self.wishes.source else MicrophoneSearch()
        data = self.work / "data"
        arguments = ["serve", "--data", str(data), "--host", "127.0.0.1", "--port", str(self.wishes.port)]
        server = self.child("server", arguments)
        with self.page.waiting("The server starts"):
            self.url = _url_in(server.first_line(UP_SEC))
        self.page.step("server", f"answers at {self.url}", f"SQLite in {data}")
        made = rolltape("keys", "create", "--data", str(data), "--name", "demo", "--json")
        self.key = str(msgspec.json.decode(made)["key"])
        self.page.step("API key", f"{self.key[:12]}...", "all scopes, test mode")
        return self.wishes.source or (search.source() if search else MICROPHONE)

    def child(
        self, name: str, arguments: list[str], env: dict[str, str] | None = None, program: tuple[str, ...] = ROLLTAPE
    ) -> Child:
        """A process that ends with the story."""
        child = Child(name, arguments, self.work / f"{name}.log", env, program)
        self.children.append(child)
        return child

    def recorder_up(self, client: Client, source: str) -> BoundDevice:
        """A recorder that can be commanded and listens to `source`."""
        registered = client.devices.register(new_serial(), name="Demo recorder")
        user = client.end_users.create("demo-user", name="Demo user")
        device = client.devices.bind(registered.id, user.id)
        self.page.step("device", f"{device.id} is registered and bound to {user.id}", device.serial_number)
        arguments = ["recorder", "--server", self.url, "--state", str(self.work / "recorder"), "--source", source]
        self.child("recorder", arguments, {"ROLLTAPE_TOKEN": device.device_token})
        self.until("the recorder to come online", lambda: client.devices.get(device.id).online or None)
        self.page.step("recorder", f"is online and listens to {source}", "a process of its own")
        return device

    def command(self, client: Client, device: BoundDevice, kind: Any) -> Command:
        """A command that was obeyed. StoryBroken for one that was not."""
        with self.page.waiting(f"{kind} is on its way"):
            command = client.commands.send(device.id, kind, wait=_WAIT_SEC)
        if command.status != "executed":
            why = f"{command.error.code}: {command.error.message}" if command.error else "no word from the recorder"
            raise StoryBroken(f"{kind} is {command.status} after {_WAIT_SEC:.0f} s ({why})")
        steps = [str(event.data.get("status")) for event in client.commands.history(device.id, command.id)]
        self.page.step(
            kind.partition("_")[0], f"{command.id}: {' -> '.join(dict.fromkeys(steps))}", "answered to one call"
        )
        return command

    def _let_it_record(self) -> None:
        ends = self.clock.monotonic() + self.wishes.seconds
        with self.page.waiting(f"It records for {self.wishes.seconds:g} s"):
            while (left := ends - self.clock.monotonic()) > 0:
                self.look_after_children()
                threading.Event().wait(min(left, LOOK_SEC))
        self.page.step("recording", f"{self.wishes.seconds:g} s have gone by")

    def uploaded(self, client: Client, start: Command) -> Recording:
        """The recording, once the server has all of it. StoryBroken when that takes too long."""
        recording_id = str((start.result or {}).get("recording_id"))
        with self.page.waiting("The upload is on its way"):
            recording = client.recordings.wait(recording_id, timeout=UP_SEC)
        return self.checked_upload(recording)

    def checked_upload(self, recording: Recording) -> Recording:
        """The recording. StoryBroken when it isn't uploaded."""
        if recording.status != "uploaded":
            raise StoryBroken(f"the recording {recording.id} is {recording.status} after {UP_SEC:.0f} s")
        self.page.step("upload", f"{recording.id}, {size(recording.file_size_bytes)}", "Ogg/Opus, resumable")
        return recording

    def _download(self, client: Client, recording: Recording) -> Path:
        audio = client.recordings.download(recording.id, self.base)
        digest = hashlib.sha256(audio.read_bytes()).hexdigest()
        if digest != recording.content_sha256:
            raise StoryBroken(f"the file's SHA-256 is {digest}, the server says {recording.content_sha256}")
        self.page.step("hash", f"SHA-256 {digest[:16]}... is what the recorder computed")
        heard, said = seconds_of(audio), (recording.duration_ms or 0) / 1000
        if abs(heard - said) > _SLACK_SEC or heard < self.wishes.seconds - _SLACK_SEC:
            raise StoryBroken(f"the file plays {heard:.2f} s; the recorder said {said:.2f} s")
        self.page.step("audio", f"{heard:.2f} s by decoding it", f"{said:.2f} s by the recorder's clock")
        return audio

    def _timeline(self, client: Client, device: BoundDevice, commands: list[Command]) -> None:
        self.page.heading("Every step, from the server's history")
        for command in commands:
            self.page.said(command.id, "bold")
            self.page.timeline(client.commands.history(device.id, command.id))

    def _by_hand(self, device: BoundDevice, recording: Recording, audio: Path) -> None:
        self.page.heading("The recording")
        self.page.said(f"Audio file:  {audio}")
        self.page.said(f"Length:      {seconds_of(audio):.2f} s")
        self.page.heading("Now by hand: start, stop, look what came back")
        for line in self._curl_lines(device, recording):
            self.page.said(line)
        if self.wishes.once:
            self.page.said("\nThe server ends now; without --once it stays up, so that these lines work.", "dim")

    def _curl_lines(self, device: BoundDevice, recording: Recording) -> list[str]:
        auth = shlex.quote(f"Authorization: Bearer {self.key}")
        commands = shlex.quote(f"{self.url}/v1/devices/{device.id}/commands?wait=10")
        send = f"curl -sS -H {auth} -H 'Content-Type: application/json' {commands} -d"
        found = shlex.quote(f"{self.url}/v1/recordings?device_id={device.id}&limit=1")
        return [
            f"""{send} '{{"type": "start_recording"}}'""",
            f"""{send} '{{"type": "stop_recording"}}'""",
            f"curl -sS -H {auth} {found}",
        ]

    def _stay_up(self) -> None:
        self.page.said("\nServer and recorder stay up. Ctrl-C ends them and takes the folder away.", "bold")
        self.page.said(f"The API is documented at {self.url}/docs; logs are in {self.work}.", "dim")
        while True:
            self.look_after_children()
            threading.Event().wait(0.5)

    def look_after_children(self) -> None:
        """StoryBroken when one has ended."""
        for child in self.children:
            child.check()

    def until(self, what: str, look: Callable[[], T | None]) -> T:
        """What `look` answers as soon as it isn't None. StoryBroken after 30 s."""
        ends = self.clock.monotonic() + UP_SEC
        with self.page.waiting(f"Waiting for {what}"):
            while self.clock.monotonic() < ends:
                self.look_after_children()
                found = look()
                if found is not None:
                    return found
                threading.Event().wait(LOOK_SEC)
        raise StoryBroken(f"waited {UP_SEC:.0f} s for {what}")

    def _broken(self, error: Exception) -> None:
        self.page.broken(str(error))
        for child in self.children:
            self.page.heading(f"The end of the {child.name}'s log")
            self.page.said(child.log_tail() or "(empty)")

    def end(self) -> bool:
        """End recorder and server, in this order. Whether both ended well."""
        codes = {child.name: child.end() for child in reversed(self.children)}
        for name, code in codes.items():
            if code != 0:
                self.page.broken(f"the {name} ended with exit code {code}")
        return not any(codes.values())
