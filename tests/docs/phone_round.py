"""The round on docs/phone.md: every request and every fragment, made by the code from fixed keys and ids."""

import hashlib
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rolltape.wire import answer, cwt, receipt
from rolltape.wire.answer import Answer
from rolltape.wire.ble import service, to_device, to_relay
from rolltape.wire.ble.frames import cut
from rolltape.wire.ble.inbox import frame
from rolltape.wire.claims import Claims
from rolltape.wire.keys import Ed25519Signer, b64url, ed25519_kid
from rolltape.wire.receipt import Receipt
from rolltape.wire.times import iso

MTU = 185
NOW_MS = 1_795_000_000_000
ISS = "0123456789abcdef"
DEVICE, COMMAND, RECORDING = ("dev_0TsgcMe800JS7vA6SMt2Wf", "cmd_0TsgcMe8010J7vA6SMt2Wg", "rec_0TsgcMe8020J7vA6SMt2Wh")
SOUND = bytes(range(256)) * 32
_SHOWN = 40
_BODY = 150


def _signer(first: int) -> Ed25519Signer:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(first, first + 32)))
    return Ed25519Signer(ed25519_kid(key.public_key().public_bytes_raw()), key)


SERVER, OWN = _signer(0), _signer(32)


class Round:
    """The lines, as they are written down."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._counter = 0

    def note(self, text: str) -> None:
        """What happens beside the bytes."""
        self.lines += ["", f"# {text}"]

    def call(self, request: str, body: Any = None, status: int = 200, answered: Any = None) -> None:
        """A request and its answer."""
        self.lines.append(f"relay -> server   {request}{_json(body)}")
        self.lines.append(f"server -> relay   {status}{_json(answered)}")

    def down(self, name: str, message: Any) -> None:
        """Fragments to the device, each a write to RX."""
        self._fragments("relay -> device ", name, message)

    def up(self, name: str, message: Any) -> None:
        """Fragments from the device, each a notification of TX."""
        self._fragments("device -> relay ", name, message)

    def receipt(self, said: Any, body: bytes | None = None, **about: Any) -> bytes:
        """What the device signs next."""
        self._counter += 1
        return receipt.sign(
            Receipt(
                aud=ISS,
                device=DEVICE,
                gen=1,
                counter=self._counter,
                status=said,
                hash=None if body is None else receipt.body_hash(body),
                **about,
            ),
            OWN,
        )

    def _fragments(self, way: str, name: str, message: Any) -> None:
        fragments = list(cut(frame(message), MTU))
        for number, fragment in enumerate(fragments):
            if 0 < number < len(fragments) - 1 and len(fragments) > 4:
                if number == 1:
                    self.lines.append(f"{way}  {'':9} ({len(fragments) - 2} more of {len(fragments[1])} bytes)")
                continue
            self.lines.append(f"{way}  {name if number == 0 else '':9} {_hex(fragment)}")


def _hex(data: bytes) -> str:
    if len(data) <= _SHOWN:
        return data.hex(" ")
    return f"{data[: _SHOWN - 8].hex(' ')} … {data[-8:].hex(' ')} ({len(data)} bytes)"


def _json(body: Any) -> str:
    if body is None:
        return ""
    text = (body if isinstance(body, bytes) else msgspec.json.encode(body)).decode()
    return f" {text}" if len(text) <= _BODY else f" {text[: _BODY - 20]} … {text[-12:]}"


def _nonce(number: int) -> bytes:
    return hashlib.sha256(bytes([number])).digest()[:16]


def _answer(nonce: bytes, **said: Any) -> bytes:
    return answer.sign(Answer(iss=ISS, aud=DEVICE, nonce=nonce, now=NOW_MS, gen=1, **said), SERVER)


def _with(body: bytes, signed: bytes) -> bytes:
    return body[:-1] + b',"receipt":"' + b64url(signed).encode() + b'"}'


def phone_round() -> str:
    """The whole round as a block of text."""
    page = Round()
    _find(page)
    _go(page)
    _report(page)
    _audio(page)
    return "\n".join(["```text", *page.lines[1:], "```"])


def _find(page: Round) -> None:
    page.note("1. Whom may I serve, and what waits for them?")
    page.call("GET /v1/relay/devices", None, 200, {"data": [{"id": DEVICE, "has_key": True, "commands_wait": True}]})
    page.call("GET /v1/relay/commands?wait=30", None, 200, {"commands": [_offer()], "revoked": [], "cursor": "AAAA"})
    tag = service.make_tag(DEVICE, bytes.fromhex("010203"))
    page.note(f"2. Scan for service {service.SERVICE}; the service data is {tag.hex()}: it is {DEVICE}'s tag.")
    page.lines.append(f"#    Connect, ask for an MTU (here it becomes {MTU}), subscribe to TX, and say hello.")
    page.down("HELLO", to_device.Hello(online=True))
    page.up("HELLO", to_relay.Welcome(mtu=MTU))


def _grant() -> bytes:
    now = NOW_MS // 1000
    claims = Claims(
        iss=ISS,
        aud=DEVICE,
        jti=COMMAND,
        seq=7,
        gen=1,
        iat=now,
        nbf=now,
        exp=now + 300,
        type="start_recording",
        params={"max_duration_sec": 3600, "upload_immediately": True},
    )
    return cwt.sign(claims, SERVER)


def _offer() -> dict[str, Any]:
    return {"id": COMMAND, "device_id": DEVICE, "grant_cwt": b64url(_grant()), "seq": 7, "type": "start_recording"}


def _go(page: Round) -> None:
    page.note(
        "3. Give the grant. The device checks and notes it, signs that it has it, and asks by a nonce whether it may."
    )
    page.down("GRANT", to_device.Grant(_grant()))
    page.up("RESULT", to_relay.Result(about=to_device.Grant.type, code=0))
    nonce, signed = _nonce(1), page.receipt("delivered", jti=COMMAND)
    page.up("CHALLENGE", to_relay.Challenge(nonce=nonce, command_id=COMMAND, ack_receipt=signed))
    path = f"POST /v1/relay/devices/{DEVICE}"
    page.call(f"{path}/commands/{COMMAND}/ack", {"receipt": b64url(signed)}, 200, {"go": True, "status": "delivered"})
    said = _answer(nonce, jti=COMMAND, go=True, status="delivered")
    page.call(f"{path}/challenge", {"nonce": b64url(nonce), "jti": COMMAND}, 200, {"answer_cwt": b64url(said)})
    page.down("ANSWER", to_device.SignedAnswer(said))


def _report(page: Round) -> None:
    page.note("4. It records, and says so. Keep its words on disk before you say that you hold them; then carry them.")
    result = {"recording_id": RECORDING, "started_at": iso(NOW_MS)}
    body = msgspec.json.encode({"status": "executed", "result": result})
    signed = page.receipt("executed", body, jti=COMMAND)
    page.up("REPORT", to_relay.Report(command_id=COMMAND, json=body, receipt=signed))
    page.down("TAKEN", to_device.Taken(what=0x83, id=COMMAND))
    path = f"POST /v1/relay/devices/{DEVICE}"
    page.call(f"{path}/commands/{COMMAND}/report", _with(body, signed), 200, {"id": COMMAND, "status": "executed"})
    page.note("5. Ask for what else there is to tell. The device asks back: has my report arrived?")
    page.down("NEXT", to_device.Next())
    state = msgspec.json.encode({"battery_percent": 81})
    signed = page.receipt("state", state)
    page.up("STATE", to_relay.State(json=state, receipt=signed))
    page.down("TAKEN", to_device.Taken(what=0x84))
    page.call(f"{path}/heartbeat", _with(state, signed), 200, {"status": "ok"})
    nonce = _nonce(2)
    page.up("CHALLENGE", to_relay.Challenge(nonce=nonce, command_id=COMMAND))
    said = _answer(nonce, jti=COMMAND, go=False, status="executed")
    page.call(f"{path}/challenge", {"nonce": b64url(nonce), "jti": COMMAND}, 200, {"answer_cwt": b64url(said)})
    page.down("ANSWER", to_device.SignedAnswer(said))
    page.up("RESULT", to_relay.Result(about=to_device.Next.type, code=0))


def _audio(page: Round) -> None:
    page.note(
        "6. Later, after a stop that went the same way, there is a recording. It crosses an encrypted link alone."
    )
    created = msgspec.json.encode({"id": RECORDING, "command_id": COMMAND, "started_at": iso(NOW_MS)})
    sha256 = hashlib.sha256(SOUND).hexdigest()
    done = msgspec.json.encode({"content_sha256": sha256, "file_size_bytes": len(SOUND)})
    signed = [page.receipt("recorded", body, recording_id=RECORDING) for body in (created, done)]
    told = to_relay.Recording(
        recording_id=RECORDING,
        create=created,
        create_receipt=signed[0],
        complete=done,
        complete_receipt=signed[1],
        size=len(SOUND),
        sha256=bytes.fromhex(sha256),
    )
    page.up("RECORDING", told)
    path = f"POST /v1/relay/devices/{DEVICE}/recordings"
    page.call(path, _with(created, signed[0]), 201, {"id": RECORDING, "status": "pending"})
    length = 32 * (MTU - 4)
    for offset in (0, length):
        page.down("FETCH", to_device.Fetch(recording_id=RECORDING, offset=offset, length=length))
        if offset == 0:
            page.up("RESULT", to_relay.Result(about=to_device.Fetch.type, code=7, detail="pair first"))
            page.lines.append("#    pair (on iOS: read the characteristic PAIR), and ask again")
            page.down("FETCH", to_device.Fetch(recording_id=RECORDING, offset=offset, length=length))
        data = SOUND[offset : offset + length]
        page.up("PIECE", to_relay.Piece(recording_id=RECORDING, offset=offset, total=len(SOUND), data=data))
    page.note(
        "7. All is here and its hash is right. Say so, upload it; at the next NEXT the device is shown the proof."
    )
    page.down("TAKEN", to_device.Taken(what=0x85, id=RECORDING))
    asked = {"type": "audio", "content_type": "audio/ogg", "file_size_bytes": len(SOUND)}
    page.call(
        f"{path}/{RECORDING}/upload-url",
        asked,
        201,
        {"upload_url": "https://…", "headers": {"Content-Type": "audio/ogg"}},
    )
    page.lines += [
        "relay -> server   HEAD upload_url, with Tus-Resumable: 1.0.0",
        "server -> relay   200 Upload-Offset: 0",
        "relay -> server   PATCH upload_url, with Upload-Offset: 0 and the bytes from there (or one PUT of all)",
        f"server -> relay   204 Upload-Offset: {len(SOUND)}",
    ]
    page.call(
        f"{path}/{RECORDING}/upload-complete", _with(done, signed[1]), 200, {"id": RECORDING, "status": "uploaded"}
    )
    page.down("NEXT", to_device.Next())
    nonce = _nonce(3)
    page.up("CHALLENGE", to_relay.Challenge(nonce=nonce, recording_id=RECORDING))
    said = _answer(nonce, recording_id=RECORDING, sha256=bytes.fromhex(sha256))
    challenge = f"POST /v1/relay/devices/{DEVICE}/challenge"
    page.call(challenge, {"nonce": b64url(nonce), "recording_id": RECORDING}, 200, {"answer_cwt": b64url(said)})
    page.down("ANSWER", to_device.SignedAnswer(said))
    page.up("RESULT", to_relay.Result(about=to_device.Next.type, code=0))
