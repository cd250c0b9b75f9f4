"""A device's heartbeat through a relay. It tells how the device is; it makes no device online, and offers nothing."""

from rolltape.delivery.heartbeat import confirm_keys, state_in
from rolltape.delivery.items import take_acks, take_results
from rolltape.domain.principal import RelayedDevice, RelayPrincipal
from rolltape.service import receipts
from rolltape.service.context import Services
from rolltape.service.receipts import Expected
from rolltape.service.relay_reach import reach_bound
from rolltape.wire.receipt import Receipt
from rolltape.wire.relay import Claimed, RelayHeartbeat, RelayHeartbeatAnswer
from rolltape.wire.times import iso


async def heartbeat(
    app: Services, who: RelayPrincipal, device_id: str, body: RelayHeartbeat, raw: bytes, *, now: int
) -> RelayHeartbeatAnswer | Claimed:
    """Takes what the device says, in the order acks, results; or nothing of it, where it should be signed and isn't.

    Raises Problem: invalid_request (also for a receipt that is wrong or stale), not_found.
    """
    device = await reach_bound(app, who, device_id, now)
    receipt = receipts.check(app, device, body.receipt, Expected("state", body=raw))
    if receipt is None and device.public_key is not None:
        return Claimed(claimed=True, status=None)
    speaker = device if receipt is None else receipts.signed(device)
    delta = state_in(speaker, device.heartbeat_sec, body, now)  # all of it is read before any of it counts
    await _check_counter(app, device, receipt)
    acks = await take_acks(app, speaker, device_id, body.acks, now, "relay") if body.acks else []
    results = await take_results(app, speaker, device_id, body.results, now, "relay") if body.results else []
    taken = not await _is_online(app, device, now)
    if taken:
        app.store.note_state(device_id, delta)
    if receipt is not None and body.grant_kids is not None:
        await confirm_keys(app, device_id, device.grant_alg, device.held_kids, body.grant_kids)
    return RelayHeartbeatAnswer(
        status="ok",
        server_time=iso(app.clock.now_ms()),
        next_heartbeat_sec=device.heartbeat_sec,
        binding_generation=device.generation,
        taken=taken,
        acks=acks,
        results=results,
    )


async def _check_counter(app: Services, device: RelayedDevice, receipt: Receipt | None) -> None:
    if receipt is None:
        return
    if not await app.store.count_receipt(device.device_id, device.generation, receipt.counter):
        raise receipts.stale()


async def _is_online(app: Services, device: RelayedDevice, now: int) -> bool:
    """Whether the device speaks for itself: then what a relay brings may be older than what it said."""
    row = await app.store.get_device(device.tenant.n, device.device_id)
    return row.online_until > now
