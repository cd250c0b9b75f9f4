"""A recorder for the tests of a relay: the device's half of the conversation on one page, its sound made up.

It checks what it is given as a firmware would, and remembers all that it was told. What it holds survives any
connection; `learnt` says what a signed answer has proved.
"""

import asyncio
import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rolltape.clock import SystemClock
from rolltape.recorder.ble.link import Link, LinkClosed
from rolltape.wire import answer, grant, receipt
from rolltape.wire.answer import Answer
from rolltape.wire.ble import to_device, to_relay
from rolltape.wire.claims import Claims, GrantRefused
from rolltape.wire.ids import new_id
from rolltape.wire.keys import Ed25519Signer, Verifier, b64url
from rolltape.wire.receipt import Receipt
from rolltape.wire.times import iso


@dataclass
class Tape:
    """A recording, finished or running."""

    id: str
    create: bytes
    sound: bytes = b""
    complete: bytes | None = None
    taken: bool = False


@dataclass
class Told:
    """A report that no signed answer has confirmed."""

    body: bytes
    receipt: bytes | None
    taken: bool = False


@dataclass
class Dictaphone:
    """One device. `key` is its own, or None; `verifiers` are the server's, from bind."""

    device_id: str
    iss: str
    gen: int
    verifiers: dict[str, Verifier]
    key: Ed25519Signer | None = None
    sound: bytes = field(default_factory=lambda: os.urandom(5000))
    needs_encryption: bool = False
    counter: int = 0
    given: list[Claims] = field(default_factory=list)
    obeyed: list[str] = field(default_factory=list)
    learnt: list[Answer] = field(default_factory=list)
    heard: list[Any] = field(default_factory=list)
    reports: dict[str, Told] = field(default_factory=dict)
    tapes: dict[str, Tape] = field(default_factory=dict)
    open: dict[str, Claims] = field(default_factory=dict)
    running: Tape | None = None
    link: Link | None = None
    nonces: dict[bytes, str | None] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    visits: int = 0

    @property
    def holds(self) -> bool:
        return bool(self.reports or self.tapes)

    async def until(self, what: Any) -> None:
        """Back once `what()` holds; it is looked at after every message."""
        async with self.changed:
            await self.changed.wait_for(what)

    # The link

    async def opened(self, link: Link) -> None:
        self.link = link
        self.visits += 1
        for report in self.reports.values():
            report.taken = False
        for tape in self.tapes.values():
            tape.taken = False
        self.nonces.clear()

    def closed(self) -> None:
        self.link = None

    async def say(self, message: Any) -> None:
        if self.link is None:
            raise LinkClosed
        await self.link.send(message)

    async def received(self, message: Any) -> None:
        self.heard.append(message)
        try:
            await getattr(self, f"on_{type(message).__name__.lower()}")(message)
        finally:
            async with self.changed:
                self.changed.notify_all()

    # What a relay says

    async def on_hello(self, message: to_device.Hello) -> None:
        assert self.link is not None
        await self.say(to_relay.Welcome(mtu=self.link.mtu, reports=len(self.reports), recordings=len(self.tapes)))
        for command_id in list(self.open):
            await self.ask_for_go(command_id)

    async def on_grant(self, message: to_device.Grant) -> None:
        try:
            claims = grant.authenticate(message.cwt, self.verifiers, iss=self.iss, aud=self.device_id, gen=self.gen)
        except GrantRefused as refused:
            await self.say(to_relay.Result(about=message.type, code=5, detail=refused.failure))
            return
        self.given.append(claims)
        await self.say(to_relay.Result(about=message.type, code=0))
        if claims.jti not in self.obeyed:
            self.open[claims.jti] = claims
            await self.ask_for_go(claims.jti)

    async def ask_for_go(self, command_id: str) -> None:
        await self.ask(command_id, ack_receipt=self.sign("delivered", None, jti=command_id))

    async def ask(self, command_id: str | None = None, **more: Any) -> None:
        nonce = os.urandom(16)
        self.nonces[nonce] = command_id
        await self.say(to_relay.Challenge(nonce=nonce, command_id=command_id, **more))

    async def on_signedanswer(self, message: to_device.SignedAnswer) -> None:
        said = answer.read(message.cwt, self.verifiers)
        assert (said.iss, said.aud, said.gen) == (self.iss, self.device_id, self.gen)
        assert said.nonce in self.nonces
        self.learnt.append(said)
        if said.jti in self.open:
            if said.go:
                await self.obey(self.open[said.jti])
            else:
                del self.open[said.jti]
        elif said.status in {"executed", "failed"} and said.jti is not None:
            self.reports.pop(said.jti, None)
        if said.recording_id in self.tapes:
            tape = self.tapes[said.recording_id]
            if said.sha256 == hashlib.sha256(tape.sound).digest():
                del self.tapes[tape.id]

    async def on_offline(self, message: to_device.Offline) -> None:
        for claims in list(self.open.values()):
            await self.obey(claims)

    async def on_revoke(self, message: to_device.Revoke) -> None:
        self.open.pop(message.command_id, None)

    async def on_taken(self, message: to_device.Taken) -> None:
        if message.id in self.reports:
            self.reports[message.id].taken = True
        if message.id in self.tapes:
            self.tapes[message.id].taken = True

    async def on_next(self, message: to_device.Next) -> None:
        await self.say(self.state())
        for command_id, told in list(self.reports.items()):
            if told.taken:
                await self.ask(command_id)
            else:
                await self.say(to_relay.Report(command_id=command_id, json=told.body, receipt=told.receipt))
        for tape in list(self.tapes.values()):
            if tape.taken:
                await self.ask(recording_id=tape.id)
            else:
                await self.say(self.announcement(tape))
        await self.say(to_relay.Result(about=message.type, code=0))

    async def on_fetch(self, message: to_device.Fetch) -> None:
        assert self.link is not None
        tape = self.tapes.get(message.recording_id)
        if self.needs_encryption and not self.link.is_encrypted:
            await self.say(to_relay.Result(about=message.type, code=7))
        elif tape is None:
            await self.say(to_relay.Gone(message.recording_id))
        else:
            await self.say(self.piece(tape, message))

    def piece(self, tape: Tape, asked: to_device.Fetch) -> to_relay.Piece:
        data = tape.sound[asked.offset : asked.offset + asked.length]
        return to_relay.Piece(recording_id=tape.id, offset=asked.offset, total=len(tape.sound), data=data)

    # What it does

    async def obey(self, claims: Claims) -> None:
        del self.open[claims.jti]
        self.obeyed.append(claims.jti)
        body = msgspec.json.encode({"status": "executed", "result": self.act(claims)})
        self.reports[claims.jti] = told = Told(body, self.sign("executed", body, jti=claims.jti))
        await self.say(to_relay.Report(command_id=claims.jti, json=told.body, receipt=told.receipt))

    def act(self, claims: Claims) -> dict[str, Any]:
        if claims.type == "start_recording":
            return self.start(claims.jti)
        return self.stop() if claims.type == "stop_recording" else {}

    def tape(self, command_id: str | None = None) -> Tape:
        """One that begins now."""
        now = SystemClock().now_ms()
        id_ = new_id("rec", now)
        create = {"id": id_, "started_at": iso(now), **({"command_id": command_id} if command_id else {})}
        return Tape(id_, msgspec.json.encode(create if command_id else {**create, "binding_generation": self.gen}))

    def start(self, command_id: str | None) -> dict[str, Any]:
        self.running = tape = self.tape(command_id)
        self.tapes[tape.id] = tape
        return {"recording_id": tape.id, "started_at": msgspec.json.decode(tape.create)["started_at"]}

    def finish_a_tape(self) -> str:
        """A recording made by hand. Answers its id."""
        recording = str(self.start(None)["recording_id"])
        self.stop()
        return recording

    def stop(self) -> dict[str, Any]:
        tape, self.running = self.running, None
        assert tape is not None
        tape.sound = self.sound
        facts = {"content_sha256": hashlib.sha256(tape.sound).hexdigest(), "file_size_bytes": len(tape.sound)}
        tape.complete = msgspec.json.encode(facts)
        return {"recording_id": tape.id, "ended_at": iso(SystemClock().now_ms()), "duration_ms": 1}

    def state(self) -> to_relay.State:
        body = msgspec.json.encode({"battery_percent": 77})
        return to_relay.State(json=body, receipt=self.sign("state", body))

    def announcement(self, tape: Tape) -> to_relay.Recording:
        complete = tape.complete
        return to_relay.Recording(
            recording_id=tape.id,
            create=tape.create,
            create_receipt=self.sign("recorded", tape.create, recording_id=tape.id),
            complete=complete,
            complete_receipt=None if complete is None else self.sign("recorded", complete, recording_id=tape.id),
            size=len(tape.sound),
            sha256=None if complete is None else hashlib.sha256(tape.sound).digest(),
        )

    def sign(self, status: Any, body: bytes | None, **about: Any) -> bytes | None:
        """The receipt of what it says next; None without a key."""
        if self.key is None:
            return None
        self.counter += 1
        hash_ = None if body is None else receipt.body_hash(body)
        said = Receipt(
            aud=self.iss, device=self.device_id, gen=self.gen, counter=self.counter, status=status, hash=hash_, **about
        )
        return receipt.sign(said, self.key)


def public_half(key: Ed25519Signer) -> str:
    """As it is registered."""
    return b64url(key.key.public_key().public_bytes_raw())
