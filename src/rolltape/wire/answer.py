"""The signed answer to a device's nonce: the only thing from which a device behind a relay takes time, go or a floor.

An envelope of wire/cose.py, signed with the key that signs the device's grants, over
`{1: iss, 3: aud, 10: nonce, 7: jti?, -65538: [now, gen, go, seq_floor, status, recording, sha256]}`. 10 is the nonce of
RFC 9711; `now` is in milliseconds; what is not said is null, and nulls at the end are left out. `go`: whether the
command `jti` may be obeyed. `status`: what the server has it down as, so that a device knows that its report arrived.
`recording` and `sha256`: the recording whose bytes the server has, whole, and their hash.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rolltape.wire import cbor, cose
from rolltape.wire.command import Status
from rolltape.wire.cwt import AUD, CTI, ISS, count, iss_bytes, iss_text, number
from rolltape.wire.ids import pack, unpack
from rolltape.wire.keys import Signer, Verifier

NONCE: Final = 10
ANSWER: Final = -65538
NONCE_BYTES: Final = 16
NONCE_SECONDS: Final = 60
"""How long a device goes on believing an answer to a nonce of its own, from the moment it made the nonce."""
_STATUSES: Final[tuple[Status, ...]] = ("pending", "delivered", "executed", "failed", "expired", "cancelled")
_FIELDS = 7


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says to a nonce (16 bytes). `now` is in milliseconds since the epoch."""

    iss: str
    aud: str
    nonce: bytes
    now: int
    gen: int
    jti: str | None = None
    go: bool | None = None
    seq_floor: int | None = None
    status: Status | None = None
    recording_id: str | None = None
    sha256: bytes | None = None


def sign(answer: Answer, signer: Signer) -> bytes:
    """The signed answer. ValueError for a nonce that isn't 16 bytes, or an `iss` or an id that is none."""
    if len(answer.nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
    said: dict[int, Any] = {ISS: iss_bytes(answer.iss), AUD: pack("dev", answer.aud), NONCE: answer.nonce}
    if answer.jti is not None:
        said[CTI] = pack("cmd", answer.jti)
    facts = [
        answer.now,
        answer.gen,
        answer.go,
        answer.seq_floor,
        None if answer.status is None else _STATUSES.index(answer.status),
        None if answer.recording_id is None else pack("rec", answer.recording_id),
        answer.sha256,
    ]
    while facts[-1] is None:
        facts.pop()
    said[ANSWER] = facts
    return cose.seal(cbor.encode(said), signer)


def read(data: bytes, keys: Mapping[str, Verifier]) -> Answer:
    """An answer that one of `keys` signed. ValueError for any other; whose nonce it answers is the caller's to ask."""
    try:
        return _answer(cbor.decode(cose.opened(data, keys), cose.MAX_BYTES))
    except KeyError as error:
        raise ValueError(f"not an answer: without {error}") from None


def authenticate(data: bytes, keys: Mapping[str, Verifier], *, iss: str, aud: str, nonce: bytes) -> Answer:
    """An answer that one of `keys` signed, of this deployment to this device and this nonce. ValueError for any other.

    How long a nonce is good (NONCE_SECONDS), and whether `gen` is the device's own, is the caller's to ask.
    """
    answer = read(data, keys)
    if answer.iss != iss:
        raise ValueError("the answer is another deployment's")
    if answer.aud != aud:
        raise ValueError("the answer is for another device")
    if answer.nonce != nonce:
        raise ValueError("the answer is to another nonce")
    return answer


def _answer(said: Any) -> Answer:
    if type(said) is not dict or type(said[ANSWER]) is not list:
        raise ValueError("not an answer")
    now, gen, go, seq_floor, status, recording, sha256 = (said[ANSWER] + [None] * _FIELDS)[:_FIELDS]
    nonce = said[NONCE]
    if type(nonce) is not bytes or len(nonce) != NONCE_BYTES:
        raise ValueError("not an answer to a nonce of 16 bytes")
    if go is not None and type(go) is not bool:
        raise ValueError("a go that is no yes and no no")
    if sha256 is not None and (type(sha256) is not bytes or len(sha256) != 32):
        raise ValueError("a hash that is not 32 bytes")
    return Answer(
        iss=iss_text(said[ISS]),
        aud=unpack("dev", said[AUD]),
        nonce=nonce,
        now=count(now),
        gen=count(gen),
        jti=unpack("cmd", said[CTI]) if CTI in said else None,
        go=go,
        seq_floor=None if seq_floor is None else count(seq_floor),
        status=None if status is None else _status(status),
        recording_id=None if recording is None else unpack("rec", recording),
        sha256=sha256,
    )


def _status(code: object) -> Status:
    if not 0 <= number(code) < len(_STATUSES):
        raise ValueError("a status that is not known")
    return _STATUSES[number(code)]
