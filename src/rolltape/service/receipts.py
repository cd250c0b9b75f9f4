"""Receipts: a device's signed word, as a relay brings it. A wrong one is told what is wrong, and counts for nothing."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec.structs import replace

from rolltape.codes import Problem
from rolltape.domain.principal import RelayedDevice
from rolltape.service.context import Services
from rolltape.service.params import invalid
from rolltape.wire import receipt as receipts
from rolltape.wire.keys import Ed25519Verifier, un_b64url
from rolltape.wire.receipt import Receipt, Said


@dataclass(frozen=True, slots=True)
class Expected:
    """What a receipt must say. `body` is the request's, as it came; None where the receipt needs no hash."""

    status: Said
    body: bytes | None = None
    jti: str | None = None
    recording_id: str | None = None


def check(app: Services, device: RelayedDevice, text: str | None, expected: Expected) -> Receipt | None:
    """The receipt, found right; None where there is none. Raises Problem: invalid_request, naming `receipt`."""
    if text is None:
        return None
    if device.public_key is None:
        raise _wrong("this device has no public_key, so nothing can be signed by it: leave the receipt out")
    try:
        key = Ed25519Verifier(Ed25519PublicKey.from_public_bytes(un_b64url(device.public_key)))
        receipt = receipts.read(text, key)
        hash_ = None if expected.body is None else receipts.body_hash(expected.body)
    except ValueError as error:
        raise _wrong(str(error)) from None
    if (wrong := _difference(app.vault.iss, device, receipt, expected, hash_)) is not None:
        raise _wrong(wrong)
    return receipt


def _difference(
    iss: str, device: RelayedDevice, receipt: Receipt, expected: Expected, hash_: bytes | None
) -> str | None:
    return next((wrong for right, wrong in _checks(iss, device, receipt, expected, hash_) if not right), None)


def _checks(
    iss: str, device: RelayedDevice, receipt: Receipt, expected: Expected, hash_: bytes | None
) -> tuple[tuple[bool, str], ...]:
    """What must be so, and what is wrong where it isn't."""
    return (
        (receipt.aud == iss, "it is for another deployment"),
        (receipt.device == device.device_id, "it is another device's"),
        (receipt.gen == device.generation, f"it is not of binding_generation {device.generation}"),
        (receipt.jti == expected.jti, "it is about another command, or about none"),
        (receipt.recording_id == expected.recording_id, "it is about another recording, or about none"),
        (receipt.status == expected.status, f"it doesn't say `{expected.status}`"),
        (hash_ is None or receipt.hash == hash_, "it signs another body than this one"),
    )


def _wrong(what: str) -> Problem:
    return invalid(
        f"The receipt counts for nothing: {what}. Nothing was changed; send on what the device signed.", "receipt"
    )


def stale() -> Problem:
    """400: the device has signed something newer since."""
    return _wrong("the device has signed something newer since, so this is stale")


def signed(device: RelayedDevice) -> RelayedDevice:
    """The device as one that has signed what is said for it."""
    return replace(device, evidence="device_signed")
