"""Who and what the test vectors are about: keys, a device, a command. The private keys are for them alone."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rolltape.wire.keys import Ed25519Signer, HmacKey, ed25519_kid, un_b64url
from rolltape.wire.replay import ReplayRecord

SEED = bytes(range(32))
SECRET = bytes(range(64, 96))
DEVICE_SEED = bytes(range(32, 64))
ISS = "1f2e3d4c5b6a7988"
DEVICE = "dev_0XHxge5b1DK1c6m1ar3CGH"
COMMAND = "cmd_0XKn6PfI2QcuHOm2o9vrYH"
RECORDING = "rec_0XKn6R2s3dvmwgm41SoWqH"
GEN = 3
IAT = 1_893_456_000
"""2030-01-01T00:00:00Z."""
TTL = 300
NOW = IAT * 1000 + 5_000
SEQ = 1000

PRIVATE = Ed25519PrivateKey.from_private_bytes(SEED)
PUBLIC = PRIVATE.public_key().public_bytes_raw()
KID = ed25519_kid(PUBLIC)
KID_BYTES = un_b64url(KID)
SIGNER = Ed25519Signer(KID, PRIVATE)
HMAC = HmacKey("hs-3", SECRET)
LONG_HMAC = HmacKey("hs-3-of-16-chars", SECRET)
"""The same secret under an id that could be a public key's."""
STRANGER = Ed25519Signer(KID, Ed25519PrivateKey.from_private_bytes(bytes(reversed(SEED))))
"""Somebody else's key under our id."""
DEVICE_KEY = Ed25519PrivateKey.from_private_bytes(DEVICE_SEED)
DEVICE_PUBLIC = DEVICE_KEY.public_key().public_bytes_raw()
DEVICE_SIGNER = Ed25519Signer(ed25519_kid(DEVICE_PUBLIC), DEVICE_KEY)

Vector = dict[str, Any]


def claims(**other: Any) -> dict[str, Any]:
    """The claims of the grant that all vectors vary."""
    return {
        "iss": ISS,
        "aud": DEVICE,
        "jti": COMMAND,
        "seq": SEQ,
        "gen": GEN,
        "iat": IAT,
        "nbf": IAT,
        "exp": IAT + TTL,
        "type": "start_recording",
        "params": {"max_duration_sec": 3600, "upload_immediately": True},
    } | other


def replay(highest: int = 0, window: int = 0, highest_stop: int = 0) -> str:
    """A replay record in hex."""
    return ReplayRecord(highest, window, highest_stop).to_bytes().hex()


def vector(name: str, expect: str, grant: str | bytes, **device: Any) -> Vector:
    """One case of a grant, a JWT or a CWT.

    `device` is what differs from an idle device with the right time and an empty replay record.
    """
    state = {"keys": "jwks", "now_ms": NOW, "replay": replay(), "recording_since_seq": None} | device
    if isinstance(grant, bytes):
        return {"name": f"CWT: {name}", "expect": expect, "grant_cwt": grant.hex(), "device": state}
    return {"name": name, "expect": expect, "token": grant, "device": state}
