"""Recordings through a relay: as a device would make them itself, under its end user's bindings alone."""

import msgspec

from rolltape.codes import Code, Problem
from rolltape.domain.principal import RelayedDevice, RelayPrincipal
from rolltape.service import receipts, recordings
from rolltape.service.context import Services
from rolltape.service.receipts import Expected
from rolltape.service.relay_reach import out_of_reach, reach, under
from rolltape.wire.receipt import Receipt
from rolltape.wire.recording import Recording, UploadUrl, UploadUrlRequest
from rolltape.wire.relay import Claimed, RelayCreateRecording, RelayUploadComplete


async def create_recording(
    app: Services, who: RelayPrincipal, device_id: str, body: RelayCreateRecording, raw: bytes, *, now: int
) -> tuple[Recording, bool]:
    """The recording, and whether it is new. Raises Problem: invalid_request, not_found, id_conflict."""
    device = await reach(app, who, device_id, now)
    speaker = under(device, await _generation(app, device, body, now))
    if speaker is None:
        raise _other_binding()
    receipt = receipts.check(app, speaker, body.receipt, Expected("recorded", body=raw, recording_id=body.id))
    return await recordings.create_recording(app, speaker, _as_far_as_known(speaker, body, receipt), now=now)


def _as_far_as_known(
    device: RelayedDevice, body: RelayCreateRecording, receipt: Receipt | None
) -> RelayCreateRecording:
    """That a recording has ended is the device's to say: a relay's bare word for one that signs ends nothing."""
    if receipt is None and device.public_key is not None:
        return msgspec.structs.replace(body, ended_at=None)
    return body


async def _generation(app: Services, device: RelayedDevice, body: RelayCreateRecording, now: int) -> int | None:
    """The binding under which it began: as it is known, as its command says, as it is named; else the newest."""
    if body.id is not None and (known := await _known(app, device, body.id)) is not None:
        return known
    if body.binding_generation is not None:
        return body.binding_generation
    if body.command_id is None:
        return device.generation
    row = await app.store.command_of_generation(device.tenant.n, device.device_id, body.command_id, None, now)
    return row.generation


async def _known(app: Services, device: RelayedDevice, recording_id: str) -> int | None:
    try:
        row = await app.store.get_recording(device.tenant.n, recording_id)
    except Problem as problem:
        if problem.code == Code.NOT_FOUND:
            return None
        raise
    return row.generation if row.device_id == device.device_id else None


def _other_binding() -> Problem:
    return Problem(
        Code.NOT_FOUND,
        "The device was not this relay's end user's then. What it recorded for another user is not this relay's.",
        param="binding_generation",
    )


async def _reach(app: Services, who: RelayPrincipal, device_id: str, recording_id: str, now: int) -> RelayedDevice:
    """The device under the recording's own binding. Raises Problem: not_found."""
    device = await reach(app, who, device_id, now)
    speaker = under(device, await _known(app, device, recording_id))
    if speaker is None:
        raise out_of_reach("recording")
    return speaker


async def upload_url(
    app: Services,
    who: RelayPrincipal,
    device_id: str,
    recording_id: str,
    body: UploadUrlRequest,
    *,
    base_url: str,
    now: int,
) -> UploadUrl:
    """Where to send the bytes. Raises Problem: not_found, and what `recordings.upload_url` raises."""
    speaker = await _reach(app, who, device_id, recording_id, now)
    return await recordings.upload_url(app, speaker, recording_id, body, base_url=base_url, now=now)


async def complete_upload(
    app: Services,
    who: RelayPrincipal,
    device_id: str,
    recording_id: str,
    body: RelayUploadComplete,
    raw: bytes,
    *,
    now: int,
) -> Recording | Claimed:
    """The recording, uploaded; or a claim, which changes nothing: what a device that signs recorded is its to say.

    Raises Problem: invalid_request, not_found, and as `recordings.complete_upload`.
    """
    speaker = await _reach(app, who, device_id, recording_id, now)
    receipt = receipts.check(app, speaker, body.receipt, Expected("recorded", body=raw, recording_id=recording_id))
    if receipt is None and speaker.public_key is not None:
        return Claimed(claimed=True, status=None)
    return await recordings.complete_upload(app, speaker, recording_id, body, now=now)
