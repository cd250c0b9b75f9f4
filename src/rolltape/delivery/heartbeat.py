"""The heartbeat route: state, acknowledgements and reports come up; their answers and the offers go down.

The one call that a sleeping device makes, so it is the hot path: with nothing to say and nothing waiting it costs one
look at an index at most, and no write.
"""

import msgspec

from rolltape.codes import Code, Problem
from rolltape.delivery.items import take_acks, take_results
from rolltape.delivery.offering import offers_for
from rolltape.domain import views
from rolltape.domain.principal import DevicePrincipal, Direct, KeyPrincipal, RelayedDevice, Speaker
from rolltape.service.auth import require_bound
from rolltape.service.context import Services
from rolltape.service.grants import learn_keys
from rolltape.service.presence import online_until
from rolltape.service.reports import evidence_of, route_of
from rolltape.store.inputs import StateDelta
from rolltape.wire import times
from rolltape.wire.command import Offer, Route
from rolltape.wire.heartbeat import Connection, Heartbeat, HeartbeatAnswer, RecordingNow
from rolltape.wire.keys import Alg


class _Facts(msgspec.Struct, frozen=True, gc=False):
    """What a heartbeat takes to know of its device, where somebody else sends it."""

    generation: int
    heartbeat_sec: int
    grant_alg: Alg
    held_kids: tuple[str, ...]


async def heartbeat(
    app: Services, who: Direct, device_id: str, body: Heartbeat, *, now: int, route: Route = "heartbeat"
) -> HeartbeatAnswer:
    """Takes what the device says, in the order acks, results, offers. On a channel offers are frames of their own.

    Raises Problem: invalid_request, token_revoked, not_found.
    """
    require_bound(who)
    facts = who if isinstance(who, DevicePrincipal) else await _facts(app, who, device_id)
    delta = state_in(who, facts.heartbeat_sec, body, now)  # all of it is read before any of it counts
    acks = await take_acks(app, who, device_id, body.acks, now, route) if body.acks else []
    results = await take_results(app, who, device_id, body.results, now, route) if body.results else []
    app.store.note_state(device_id, delta)
    held = facts.held_kids
    if body.grant_kids is not None:
        held = await confirm_keys(app, device_id, facts.grant_alg, held, body.grant_kids)
    floor = await app.store.raise_seq_floor(device_id) if body.replay_state_lost else None
    now = app.clock.now_ms()  # a thousand reports may have taken their time
    offers, more = ([], False) if route == "channel" else await _offers(app, who, device_id, facts, held, now)
    return HeartbeatAnswer(
        status="ok",
        server_time=times.iso(now),
        next_heartbeat_sec=facts.heartbeat_sec,
        binding_generation=facts.generation,
        commands=offers,
        more=more,
        acks=acks,
        results=results,
        grant_keys=_missing_keys(app, facts.grant_alg, held),
        seq_floor=floor,
        device_id=device_id,
        grant_iss=app.vault.iss,
        project_id=who.tenant.project_id,
    )


async def _facts(app: Services, who: KeyPrincipal, device_id: str) -> _Facts:
    row = await app.store.get_device(who.tenant.n, device_id)
    return _Facts(row.generation, row.heartbeat_sec, row.grant_alg, tuple(views.from_json(row.held_kids)))


async def confirm_keys(
    app: Services, device_id: str, alg: Alg, known: tuple[str, ...], said: list[str]
) -> tuple[str, ...]:
    """The grant keys that the device holds, by its own word: what it no longer holds is not signed with."""
    if alg != "EdDSA":
        return known
    await learn_keys(app, said)
    held = tuple(kid for kid in app.vault.kids() if kid in said)
    if held != known:
        await app.store.hold_kids(device_id, msgspec.json.encode(held).decode())
        app.credentials.forget(device_id)
    return held


def _missing_keys(app: Services, alg: Alg, held: tuple[str, ...]) -> dict[str, object] | None:
    """The grant keys, for a device that lacks the newest."""
    if alg != "EdDSA" or app.vault.newest.kid in held:
        return None
    return app.vault.grant_keys()


async def _offers(
    app: Services, who: Direct, device_id: str, facts: _Facts | DevicePrincipal, held: tuple[str, ...], now: int
) -> tuple[list[Offer], bool]:
    said = isinstance(who, DevicePrincipal) and who.nothing_waits  # by the look at its token, a moment ago
    if said or not await app.store.anything_pending(device_id):
        return [], False
    route = route_of(who, "heartbeat")
    return await offers_for(app, device_id, facts.generation, facts.grant_alg, held, route, now)


def state_in(who: Speaker, heartbeat_sec: int, body: Heartbeat, now: int) -> StateDelta:
    """What a heartbeat says of the device. Raises Problem: invalid_request. Only its own makes it online."""
    own = isinstance(who, DevicePrincipal)
    delta = StateDelta(
        tenant_n=who.tenant.n,
        online_until=online_until(now, heartbeat_sec) if own else 0,
        battery_percent=body.battery_percent,
        storage_used_mb=body.storage_used_mb,
        storage_total_mb=body.storage_total_mb,
        signal_strength_dbm=body.signal_strength_dbm,
        device_name=body.device_name,
        firmware_version=body.firmware_version,
        device_state=body.device_state,
        pending_recordings=body.pending_recordings,
        flags=body.flags,
        last_heartbeat_at=now,
        next_contact_at=None if isinstance(who, RelayedDevice) else now + heartbeat_sec * 1000,
        last_seen_by=_seen_by(body.connection_type) if own else "ble",
        seen_at=now,
    )
    if body.connection_type is not None:
        delta.connection_type = msgspec.json.encode(body.connection_type).decode()
    if body.recording is not msgspec.UNSET:
        _say_recording(delta, body.recording, evidence_of(who), now)
    return delta


def _seen_by(connections: list[Connection] | None) -> Connection:
    """By which way a device that calls itself was seen: BLE carries no such call."""
    for connection in connections or ():
        if connection != "ble":
            return connection
    return "wifi"


def _say_recording(delta: StateDelta, recording: RecordingNow | None, evidence: str, now: int) -> None:
    delta.rec_said = True
    delta.rec_as_of = now
    delta.rec_evidence = evidence  # type: ignore[assignment]
    if recording is None:
        return
    delta.rec_id = recording.recording_id
    delta.rec_initiated_by = recording.initiated_by
    if recording.started_at is not None:
        try:
            delta.rec_started_at = times.parse(recording.started_at)
        except ValueError as error:
            raise Problem(
                Code.INVALID_REQUEST, f"recording.started_at is {error}.", param="recording.started_at"
            ) from None
