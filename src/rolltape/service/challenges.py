"""The challenge: a device's nonce, answered with a signature. Behind a relay it takes time, go and a floor from nothing
else, so that no relay can set its clock or hold a stop back and say go to the start before it."""

from rolltape.codes import Code, Problem
from rolltape.domain import lifecycle
from rolltape.domain.principal import RelayedDevice, RelayPrincipal
from rolltape.domain.rows import CommandRow
from rolltape.service import grants
from rolltape.service.context import Services
from rolltape.service.params import invalid
from rolltape.service.relay_reach import reach, under
from rolltape.wire import answer
from rolltape.wire.answer import NONCE_BYTES, Answer
from rolltape.wire.keys import b64url, un_b64url
from rolltape.wire.relay import Challenge, ChallengeAnswer


async def challenge(
    app: Services, who: RelayPrincipal, device_id: str, body: Challenge, *, now: int
) -> ChallengeAnswer:
    """The signed answer. It changes nothing, but for a floor that is asked for.

    A device whose binding to this user ended a short while ago is answered too, without any go: so it can know that
    what it had to tell has arrived. Raises Problem: invalid_request, not_found.
    """
    nonce = _nonce(body.nonce)
    device = await reach(app, who, device_id, now)
    row = None if body.jti is None else await _command(app, device, body.jti, now)
    sha256 = None if body.recording_id is None else await _uploaded(app, device, body.recording_id)
    floor = await app.store.raise_seq_floor(device_id) if body.seq_floor and not device.ended else None
    said = Answer(
        iss=app.vault.iss,
        aud=device_id,
        nonce=nonce,
        now=app.clock.now_ms(),
        gen=device.generation,
        jti=body.jti,
        go=None if body.jti is None else await _may_go(app, who, device, row, now),
        seq_floor=floor,
        status=None if row is None else row.status,
        recording_id=None if sha256 is None else body.recording_id,
        sha256=sha256,
    )
    signer = await grants.signer_of(app, device_id, device.generation, device.grant_alg, device.held_kids)
    return ChallengeAnswer(answer_cwt=b64url(answer.sign(said, signer)))


def _nonce(text: str) -> bytes:
    try:
        nonce = un_b64url(text)
    except ValueError:
        nonce = b""
    if len(nonce) != NONCE_BYTES:
        raise invalid(f"`nonce` is not {NONCE_BYTES} bytes in base64url, without padding.", "nonce")
    return nonce


async def _command(app: Services, device: RelayedDevice, command_id: str, now: int) -> CommandRow | None:
    try:
        row = await app.store.command_of_generation(device.tenant.n, device.device_id, command_id, None, now)
    except Problem as problem:
        if problem.code == Code.NOT_FOUND:
            return None
        raise
    return None if under(device, row.generation) is None else row


async def _may_go(app: Services, who: RelayPrincipal, device: RelayedDevice, row: CommandRow | None, now: int) -> bool:
    """As an acknowledgement would be answered. The stops are looked at last: one may just have been created."""
    if row is None or device.ended or row.generation != device.generation:
        return False
    last_stop_seq = (await reach(app, who, device.device_id, now)).last_stop_seq
    return lifecycle.may_go(row.type, row.status, row.seq, last_stop_seq)


async def _uploaded(app: Services, device: RelayedDevice, recording_id: str) -> bytes | None:
    """The hash of a recording of this device whose bytes are in and verified."""
    try:
        row = await app.store.get_recording(device.tenant.n, recording_id)
    except Problem as problem:
        if problem.code == Code.NOT_FOUND:
            return None
        raise
    mine = row.device_id == device.device_id and row.generation in device.generations
    if not mine or row.status != "uploaded" or row.content_sha256 is None:
        return None
    return bytes.fromhex(row.content_sha256)
