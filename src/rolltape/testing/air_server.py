"""The server behind a scripted relay: real grants, real answers, and a look at each receipt."""

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rolltape.clock import machine_ms
from rolltape.recorder.binding import Binding
from rolltape.wire import answer, cwt, receipt
from rolltape.wire.ble import to_relay
from rolltape.wire.claims import Claims
from rolltape.wire.ids import new_id
from rolltape.wire.keys import Ed25519Signer, Ed25519Verifier, Signer, b64url, ed25519_kid, jwk, un_b64url

_OPEN = {"pending", "delivered"}


@dataclass
class AirCommand:
    """A command as the server has it, and the grant that a relay is given."""

    claims: Claims
    grant: bytes
    status: Any = "pending"
    result: dict[str, Any] | None = None
    error: str | None = None
    acks: int = 0
    reports: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.claims.jti


@dataclass
class AirRecording:
    """A recording as the server has it: its bytes count once they fit the hash."""

    create: dict[str, Any]
    complete: dict[str, Any] | None = None
    sha256: bytes | None = None
    size: int = 0
    data: bytes = b""

    @property
    def is_in(self) -> bool:
        return self.sha256 is not None and hashlib.sha256(self.data).digest() == self.sha256


class AirServer:
    """The server's side of one device behind relays. `wrong`: what was signed as it should not have been."""

    def __init__(self, *, signer: Signer | None = None) -> None:
        self.key = Ed25519PrivateKey.generate()
        public = self.key.public_key().public_bytes_raw()
        self.signer: Signer = signer or Ed25519Signer(ed25519_kid(public), self.key)
        self.jwks = {"keys": [jwk(public)]}
        self.iss = "00112233445566ff"
        self.device_id = new_id("dev", machine_ms())
        self.generation = 1
        self.time_shift_ms = 0
        self.public_key: str | None = None
        self.commands: dict[str, AirCommand] = {}
        self.recordings: dict[str, AirRecording] = {}
        self.counters: list[int] = []
        self.wrong: list[str] = []
        self._seq = itertools.count(1)

    def now_ms(self) -> int:
        """The time in the server's world."""
        return machine_ms() + self.time_shift_ms

    def binding(self, public_key: str | None = None, **changes: Any) -> Binding:
        """Bind's answer."""
        self.public_key = public_key
        facts: dict[str, Any] = {
            "id": self.device_id,
            "grant_iss": self.iss,
            "binding_generation": self.generation,
            "device_token": f"dtok_{self.generation}",
            "grant_keys": self.jwks,
            "public_key": public_key,
        }
        return Binding(**(facts | changes))

    def command(self, type: str, params: dict[str, Any] | None = None, *, ttl: int = 300, **claims: Any) -> AirCommand:
        """Make a command. A stop supersedes the starts that wait."""
        now = self.now_ms() // 1000
        said: dict[str, Any] = {
            "iss": self.iss,
            "aud": self.device_id,
            "jti": new_id("cmd", now * 1000),
            "seq": next(self._seq),
            "gen": self.generation,
            "iat": now,
            "nbf": now,
            "exp": now + ttl,
            "type": type,
            "params": params or {},
        } | claims
        command = AirCommand(Claims(**said), cwt.sign(Claims(**said), self.signer))
        if type == "stop_recording":
            for other in self.commands.values():
                if other.status == "pending":
                    other.status = "cancelled"
        self.commands[command.id] = command
        return command

    def fresh(self, command: AirCommand, ttl: int = 300) -> bytes:
        """A grant of the same command, made anew."""
        now = self.now_ms() // 1000
        return cwt.sign(msgspec.structs.replace(command.claims, iat=now, nbf=now, exp=now + ttl), self.signer)

    def answer_to(self, asked: to_relay.Challenge, **changes: Any) -> bytes:
        """What the server signs for a question."""
        command = self.commands.get(asked.command_id or "")
        recording = self.recordings.get(asked.recording_id or "")
        is_in = recording is not None and recording.is_in
        facts: dict[str, Any] = {
            "iss": self.iss,
            "aud": self.device_id,
            "nonce": asked.nonce,
            "now": self.now_ms(),
            "gen": self.generation,
            "jti": asked.command_id,
            "go": None if asked.command_id is None else command is not None and command.status in _OPEN,
            "seq_floor": max((c.claims.seq for c in self.commands.values()), default=0) if asked.floor else None,
            "status": None if command is None else command.status,
            "recording_id": asked.recording_id if is_in else None,
            "sha256": recording.sha256 if recording is not None and is_in else None,
        }
        return answer.sign(answer.Answer(**(facts | changes)), self.signer)

    def look_at(self, signed: bytes | None, said: str, body: bytes | None) -> None:
        """A device with a key signs all that it says, each with a greater counter; one without signs nothing."""
        if self.public_key is None or signed is None:
            if signed is not None or self.public_key is not None:
                self.wrong.append(f"{said}: a receipt where there should be none, or none where one should be")
            return
        key = Ed25519Verifier(Ed25519PublicKey.from_public_bytes(un_b64url(self.public_key)))
        found = receipt.read(b64url(signed), key)
        hash_ = None if body is None else receipt.body_hash(body)
        if (found.status, found.device, found.aud, found.hash) != (said, self.device_id, self.iss, hash_):
            self.wrong.append(f"{said}: {found}")
        if self.counters and found.counter <= self.counters[-1]:
            self.wrong.append(f"{said}: the counter does not grow")
        self.counters.append(found.counter)
