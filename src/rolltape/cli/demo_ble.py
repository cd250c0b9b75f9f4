"""The demo's story over BLE: the recorder has no network, and a gateway that nobody trusts carries for it."""

import os
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from rolltape.cli.demo_page import Page
from rolltape.cli.demo_processes import Child, StoryBroken
from rolltape.cli.demo_story import LOOK_SEC, UP_SEC, Story, Wishes, new_serial
from rolltape.cli.output import size
from rolltape.recorder.device_key import DeviceKey
from rolltape.sdk.client import Client
from rolltape.sdk.errors import NotFound
from rolltape.wire.command import Command
from rolltape.wire.device import BoundDevice
from rolltape.wire.recording import Recording

AIR = (sys.executable, "-m", "rolltape.cli.demo_air")
_STORY_SEC = 600.0


class BleStory(Story):
    """The same story, with a radio in it."""

    title = "Rolltape over BLE: command a recorder that has no network"

    def __init__(self, wishes: Wishes, base: Path) -> None:
        super().__init__(wishes, base)
        self._air: Child | None = None

    def recorder_up(self, client: Client, source: str) -> BoundDevice:
        """A recorder and a gateway, in one process because the air between them is virtual."""
        state, binding = self.work / "recorder", self.work / "binding.json"
        state.mkdir(mode=0o700)
        key = DeviceKey(state)
        registered = client.devices.register(
            new_serial(), name="Demo recorder", connection=["ble"], public_key=key.public
        )
        user = client.end_users.create("demo-user", name="Demo user")
        device = client.devices.bind(registered.id, user.id)
        self.page.step("device", f"{device.id} is registered with a key of its own", device.serial_number)
        _write_private(binding, msgspec.json.encode(device))
        token = client.relay_tokens.create(user.id, ttl_seconds=3600).relay_token
        self.page.step("relay token", f"{token[:12]}...", "for this user's devices, for an hour")
        arguments = ["--server", self.url, "--binding", str(binding), "--work", str(self.work), "--source", source]
        self._air = self.child("recorder and gateway", arguments, {"ROLLTAPE_RELAY_TOKEN": token}, AIR)
        self._air.first_line(UP_SEC)
        self.until("the gateway to find the recorder", lambda: _heard_of(client, device))
        self.page.step("recorder", f"listens to {source}", "no network: BLE only, and a virtual one at that")
        self.page.step("gateway", "has recognised the recorder, and talks to it", "`rolltape relay`, by bleak")
        return device

    def command(self, client: Client, device: BoundDevice, kind: Any) -> Command:
        """A command that was obeyed, on the device's own signed word."""
        command = super().command(client, device, kind)
        evidence = command.delivery.evidence
        if evidence != "device_signed":
            raise StoryBroken(f"{kind} is executed on the word of {evidence}, not signed by the recorder")
        self.page.step("evidence", str(evidence), "no relay could have made it up")
        return command

    def uploaded(self, client: Client, start: Command) -> Recording:
        """The recording, brought over the air in pieces and uploaded by the gateway."""
        recording_id = str((start.result or {}).get("recording_id"))
        progress = _Progress(self.page, recording_id)
        ends = self.clock.monotonic() + _STORY_SEC
        while self.clock.monotonic() < ends:
            self.look_after_children()
            progress.hear(self._air)
            recording = _found(client, recording_id)
            if recording is not None and recording.status != "pending":
                progress.hear(self._air)
                return self.checked_upload(recording)
        raise StoryBroken(f"the recording {recording_id} is not there after {_STORY_SEC:.0f} s")


class _Progress:
    """Shows how far the audio has come over the air."""

    def __init__(self, page: Page, recording_id: str) -> None:
        self._page, self._recording_id, self._fifth = page, recording_id, 0

    def hear(self, air: Child | None) -> None:
        """What the gateway has said since."""
        while air is not None and (line := air.next_line(LOOK_SEC)):
            recording_id, held, total = line.split()
            if recording_id == self._recording_id and held == "cut":
                self._page.step("by air", "the link is lost, on purpose", "it goes on where it was")
            elif recording_id == self._recording_id:
                self._show(int(held), int(total))

    def _show(self, held: int, total: int) -> None:
        fifth = held * 5 // total
        if fifth > self._fifth:
            self._fifth = fifth
            self._page.step("by air", f"{held * 100 // total} % of {size(total)}", "pieces, each hash-checked")


def _heard_of(client: Client, device: BoundDevice) -> bool | None:
    return client.devices.state(device.id).last_seen_by == "ble" or None


def _found(client: Client, recording_id: str) -> Recording | None:
    try:
        return client.recordings.get(recording_id)
    except NotFound:
        threading.Event().wait(LOOK_SEC)
        return None


def _write_private(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
