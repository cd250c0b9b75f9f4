"""Whether a grant may be obeyed now, by everything that this device knows. Pure but for one durable note: of stops."""

from rolltape.codes import Failure
from rolltape.recorder.parts import Parts
from rolltape.wire.claims import Claims, GrantRefused
from rolltape.wire.grant import authenticate, judge

KNOWN_TYPES = frozenset({"start_recording", "stop_recording", "trigger_upload", "factory_reset"})


def check(parts: Parts, grant: str | bytes, *, time_may_come: bool = False) -> Claims:
    """The claims of a grant that may be obeyed. Raises GrantRefused. Asked when it comes, and again after the go.

    `time_may_come`: without trusted time so far a start passes, because the go will bring the time.
    """
    claims = authentic(parts, grant)
    if parts.replay.lost:
        raise GrantRefused(
            Failure.REPLAY_STATE_LOST, "the replay record is lost; the server has been asked for a floor"
        )
    if claims.type == "stop_recording":
        parts.replay.saw_stop(claims.seq)  # obeyed or not, idle or expired: no older start after it
    try:
        judge(
            claims,
            now_ms=parts.trusted.now_ms(),
            replay=parts.replay.record,
            recording_since_seq=parts.studio.since_seq,
        )
    except GrantRefused as refused:
        if not (time_may_come and refused.failure is Failure.CLOCK_UNKNOWN):
            raise
    if claims.type not in KNOWN_TYPES:
        raise GrantRefused(Failure.UNSUPPORTED_TYPE, f"this recorder has no command {claims.type[:64]!r}")
    return claims


def authentic(parts: Parts, grant: str | bytes) -> Claims:
    """The claims of a grant for this device, of this binding. Raises GrantRefused (`grant_invalid`)."""
    known = parts.identity.known
    if known.device_id is None or known.iss is None or known.generation is None:
        raise GrantRefused(Failure.GRANT_INVALID, "the server has not said yet which device this is")
    return authenticate(grant, parts.keys.keys, iss=known.iss, aud=known.device_id, gen=known.generation)
