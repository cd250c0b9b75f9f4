"""A start, a stop and the sound brought back, over whatever link there is: a small server, device and relay.

The device and the server keep what they know between connections, as flash and a database do; the relay begins anew
each time and knows nothing.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rolltape.recorder.ble.link import Link
from rolltape.wire import answer, cwt, grant
from rolltape.wire.answer import Answer
from rolltape.wire.ble import to_device, to_relay
from rolltape.wire.ble.frames import ResultCode
from rolltape.wire.ble.inbox import Message
from rolltape.wire.claims import Claims, GrantRefused
from rolltape.wire.command import Status
from rolltape.wire.keys import Ed25519Signer, Ed25519Verifier
from rolltape.wire.replay import ReplayRecord
from tests.ble.air import Caller
from tests.ble.samples import RECORDING
from tests.ble.sessions import DEVICE

ISS, GEN, NOW = "1f2e3d4c5b6a7988", 1, 1_893_456_000_000
START, STOP = "cmd_0H2bQyA1sD4fG7hJ9kLqWe", "cmd_0H2bQyA1sD4fG7hJ9kLqWf"
SOUND = bytes(number * 7 % 256 for number in range(200))
PIECE = 90
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = Ed25519Signer("1IG2tMH7J2wbJZnO", _KEY)
KEYS = {SIGNER.kid: Ed25519Verifier(_KEY.public_key())}


@dataclass
class Server:
    """What the server knows. A stop is made once the start was reported."""

    status: dict[str, Status] = field(default_factory=lambda: {START: "pending"})
    bytes_of: dict[str, bytearray] = field(default_factory=dict)
    sha_of: dict[str, bytes] = field(default_factory=dict)

    def grants(self) -> list[bytes]:
        return [
            cwt.sign(
                Claims(
                    iss=ISS,
                    aud=DEVICE,
                    jti=id_,
                    seq=1000 + number,
                    gen=GEN,
                    iat=NOW // 1000,
                    nbf=NOW // 1000,
                    exp=NOW // 1000 + 300,
                    type="start_recording" if id_ == START else "stop_recording",
                    params={},
                ),
                SIGNER,
            )
            for number, (id_, status) in enumerate(sorted(self.status.items()))
            if status == "pending"
        ]

    def answer(self, asked: to_relay.Challenge) -> bytes:
        id_, recording = asked.command_id, asked.recording_id
        if id_ is not None and self.status[id_] == "pending":
            self.status[id_] = "delivered"
        status = None if id_ is None else self.status[id_]
        has_it = recording is not None and recording in self.sha_of
        return answer.sign(
            Answer(
                iss=ISS,
                aud=DEVICE,
                nonce=asked.nonce,
                now=NOW,
                gen=GEN,
                jti=id_,
                go=status == "delivered" if id_ else None,
                status=status,
                recording_id=recording if has_it else None,
                sha256=self.sha_of[recording] if has_it and recording else None,
            ),
            SIGNER,
        )

    def report(self, said: to_relay.Report) -> None:
        self.status[said.command_id] = msgspec.json.decode(said.json)["status"]
        if said.command_id == START:
            self.status.setdefault(STOP, "pending")

    def bytes_in(self, recording: to_relay.Recording, at: int, piece: bytes) -> int:
        held = self.bytes_of.setdefault(recording.recording_id, bytearray())
        if at == len(held):
            held += piece
        if len(held) == recording.size and hashlib.sha256(held).digest() == recording.sha256:
            self.sha_of[recording.recording_id] = recording.sha256
        return len(held)


class Device:
    """What the device knows, and does. `ran` has every command that it acted on, each time."""

    device_id = DEVICE

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.links = 0
        self.ends = 0
        self._replay = ReplayRecord()
        self._waiting: dict[str, Claims] = {}
        self._reports: dict[str, bytes] = {}
        self._sound: bytes | None = None
        self._asked: dict[bytes, None] = {}

    @property
    def holds(self) -> bool:
        return bool(self._reports or self._sound)

    async def opened(self, link: Link) -> None:
        self._link = link
        self.links += 1
        self._asked.clear()

    def closed(self) -> None:
        self.ends += 1

    async def received(self, message: Message) -> None:
        if isinstance(message, to_device.Hello):
            await self._link.send(to_relay.Welcome(mtu=self._link.mtu, reports=len(self._reports)))
        elif isinstance(message, to_device.Grant):
            await self._granted(message.cwt)
        elif isinstance(message, to_device.SignedAnswer):
            await self._answered(message.cwt)
        elif isinstance(message, to_device.Next):
            for id_ in list(self._waiting):
                await self._ask(command_id=id_)
            await self._tell()
        elif isinstance(message, to_device.Fetch):
            await self._fetched(message)
        elif isinstance(message, to_device.Taken) and message.what == 0x83:
            await self._ask(command_id=message.id)

    async def _granted(self, data: bytes) -> None:
        try:
            claims = grant.authenticate(data, KEYS, iss=ISS, aud=DEVICE, gen=GEN)
            grant.check_replay(claims, self._replay)
        except GrantRefused as refused:
            await self._result(0x02, ResultCode.GRANT_REFUSED, refused.failure)
            return
        self._waiting[claims.jti] = claims
        await self._result(0x02, ResultCode.OK)
        await self._ask(command_id=claims.jti)

    async def _ask(self, **about: Any) -> None:
        nonce = len(self._asked).to_bytes(16, "big")
        self._asked[nonce] = None
        await self._link.send(to_relay.Challenge(nonce=nonce, **about))

    async def _answered(self, data: bytes) -> None:
        said = answer.read(data, KEYS)
        if said.nonce not in self._asked:
            return
        if said.status in ("executed", "failed"):
            self._reports.pop(said.jti or "", None)
        if self._sound is not None and said.sha256 == hashlib.sha256(self._sound).digest():
            self._sound = None
        claims = self._waiting.pop(said.jti or "", None)
        if claims is not None and said.go and not self._replay.used(claims.seq):
            self._replay = self._replay.mark(claims.seq)
            self.ran.append(claims.type)
            self._reports[claims.jti] = b'{"status":"executed"}'
            if claims.type == "stop_recording":
                self._sound = SOUND
        await self._tell()

    async def _tell(self) -> None:
        for id_, report in list(self._reports.items()):
            await self._link.send(to_relay.Report(command_id=id_, json=report))
        if self._sound is not None:
            sha = hashlib.sha256(self._sound).digest()
            whole = to_relay.Recording(
                recording_id=RECORDING, create=b"{}", complete=b"{}", size=len(self._sound), sha256=sha
            )
            await self._link.send(whole)
        await self._result(0x07, ResultCode.OK)

    async def _fetched(self, asked: to_device.Fetch) -> None:
        if self._sound is None:
            await self._link.send(to_relay.Gone(asked.recording_id))
        elif not self._link.is_encrypted:
            await self._result(0x06, ResultCode.NEEDS_ENCRYPTION)
        else:
            piece = self._sound[asked.offset : asked.offset + asked.length]
            await self._link.send(
                to_relay.Piece(recording_id=RECORDING, offset=asked.offset, total=len(self._sound), data=piece)
            )
        if asked.offset + asked.length >= len(SOUND):
            await self._ask(recording_id=asked.recording_id)

    async def _result(self, about: int, code: ResultCode, detail: str = "") -> None:
        await self._link.send(to_relay.Result(about=about, code=code, detail=detail))


class Relay:
    """One connection of a relay that remembers nothing: what it hears goes to the server at once."""

    def __init__(self, server: Server, caller: Caller, device: Device) -> None:
        self._server = server
        self._caller = caller
        self._device = device
        self._recording: to_relay.Recording | None = None

    @property
    def is_done(self) -> bool:
        status = self._server.status
        return status.get(STOP) == "executed" and not self._device.holds and bool(self._server.sha_of)

    async def run(self) -> None:
        """Until everything is done, or the link is gone."""
        await self._caller.send(to_device.Hello(online=True))
        while not self.is_done:
            message = await self._caller.hear()
            if message is None:
                return
            await self._heard(message)

    async def _heard(self, message: Message) -> None:
        if isinstance(message, to_relay.Welcome):
            await self._begin()
        elif isinstance(message, to_relay.Challenge):
            await self._caller.send(to_device.SignedAnswer(self._server.answer(message)))
        elif isinstance(message, to_relay.Report):
            await self._reported(message)
        elif isinstance(message, to_relay.Recording):
            self._recording = message
            await self._fetch(0)
        elif isinstance(message, to_relay.Piece):
            await self._got(message)
        elif isinstance(message, to_relay.Result) and message.code == ResultCode.NEEDS_ENCRYPTION:
            await self._caller.client.pair()
            await self._fetch(0)

    async def _begin(self) -> None:
        if not await self._give():
            await self._caller.send(to_device.Next())

    async def _got(self, piece: to_relay.Piece) -> None:
        assert self._recording is not None
        held = self._server.bytes_in(self._recording, piece.offset, piece.data)
        if held < piece.total:
            await self._fetch(held)

    async def _give(self) -> int:
        grants = self._server.grants()
        for data in grants:
            await self._caller.send(to_device.Grant(data))
        return len(grants)

    async def _reported(self, said: to_relay.Report) -> None:
        is_news = self._server.status[said.command_id] != "executed"
        self._server.report(said)
        confirmed = to_device.Taken(what=0x83, id=said.command_id)
        await self._caller.send(confirmed)
        if is_news:
            await self._give()

    async def _fetch(self, at: int) -> None:
        assert self._recording is not None
        held = len(self._server.bytes_of.get(self._recording.recording_id, b""))
        await self._caller.send(
            to_device.Fetch(recording_id=self._recording.recording_id, offset=max(at, held), length=PIECE)
        )
