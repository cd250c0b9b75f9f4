"""What a relay says of a command on a device's behalf: by its receipt the device's own word, else a claim."""

import hashlib
from typing import Any

import msgspec

from rolltape.domain.principal import RelayedDevice, RelayPrincipal
from rolltape.domain.rows import CommandRow
from rolltape.service import receipts, reports
from rolltape.service.context import Services
from rolltape.service.receipts import Expected
from rolltape.service.relay_reach import reach_command
from rolltape.store.relays import NewClaim
from rolltape.wire.command import Command, Go
from rolltape.wire.common import Reason
from rolltape.wire.receipt import Receipt
from rolltape.wire.relay import Claim, Claimed, RelayAck, RelayReport


async def acknowledge(
    app: Services, who: RelayPrincipal, device_id: str, command_id: str, body: RelayAck, *, now: int
) -> Go | Claimed:
    """Go; or a claim. Raises Problem: invalid_request (the receipt), not_found, command_no_go."""
    device, row = await reach_command(app, who, device_id, command_id, now)
    receipt = receipts.check(app, device, body.receipt, Expected("delivered", jti=command_id))
    if receipt is None and device.public_key is not None:
        return await _claim(app, device, row, Claim(status="delivered"), now)
    go = await reports.acknowledge(app, _speaker(device, receipt), device_id, command_id, now=now)
    await _count(app, device, receipt)
    return go


async def report(
    app: Services, who: RelayPrincipal, device_id: str, command_id: str, body: RelayReport, raw: bytes, *, now: int
) -> Command | Claimed:
    """The command after the device's word has landed; or a claim.

    Raises Problem: invalid_request (also for the receipt), not_found, result_conflict.
    """
    device, row = await reach_command(app, who, device_id, command_id, now)
    receipt = receipts.check(app, device, body.receipt, Expected(body.status, body=raw, jti=command_id))
    if receipt is None and device.public_key is not None:
        return await _claim(app, device, row, _claim_of(body), now)
    command = await reports.report(app, _speaker(device, receipt), device_id, command_id, body, now=now)
    await _count(app, device, receipt)
    return command


def _speaker(device: RelayedDevice, receipt: Receipt | None) -> RelayedDevice:
    return device if receipt is None else receipts.signed(device)


async def _count(app: Services, device: RelayedDevice, receipt: Receipt | None) -> None:
    """An older word on the device's state is stale from now on. Words on commands are final in any order."""
    if receipt is not None:
        await app.store.count_receipt(device.device_id, device.generation, receipt.counter)


def _claim_of(body: RelayReport) -> Claim:
    incoming = reports.read(body, "relay")  # what could not be landed can't be claimed either
    failed = incoming.word.error_code
    return Claim(
        status=body.status,
        executed_at=body.executed_at,
        result=body.result,
        error=None if failed is None else Reason(code=failed, message=incoming.error_message or ""),
    )


async def _claim(app: Services, device: RelayedDevice, row: CommandRow, claim: Claim, now: int) -> Claimed:
    told: dict[str, Any] = msgspec.to_builtins(claim)
    said = (claim.status, claim.result, None if claim.error is None else claim.error.code)
    digest = hashlib.sha256(msgspec.json.encode(said, order="deterministic")).digest()
    new = NewClaim(digest, told)
    row = await app.store.claim(device.tenant.n, device.device_id, row.id, device.generation, new, now)
    return Claimed(claimed=True, status=row.status)
