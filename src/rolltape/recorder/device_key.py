"""The device's own Ed25519 key, and the receipts that it signs with it, so that no relay can speak in its place.

The key lies in the file `device-key` of the state folder (mode 0600), made when it is first asked for; its public half
is registered as the device's `public_key`. It stays over a factory reset: it is the device's, not a binding's.
"""

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rolltape.durable import read_sealed, seal, write_whole
from rolltape.recorder.identity import Identity
from rolltape.wire.keys import Ed25519Signer, b64url, ed25519_kid, un_b64url
from rolltape.wire.receipt import Receipt, Said, body_hash, sign

_BLOCK = 64
"""So many counters are set aside with one write to the disk; a power cut skips what is left of them."""


class DeviceKey:
    """The key in `folder`; made if there is none. ValueError when the file is damaged."""

    def __init__(self, folder: Path) -> None:
        path = folder / "device-key"
        try:
            found: Any = read_sealed(path)
            if found is None:
                found = {"seed": b64url(Ed25519PrivateKey.generate().private_bytes_raw())}
                write_whole(path, seal(found))
            key = Ed25519PrivateKey.from_private_bytes(un_b64url(found["seed"]))
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is damaged: delete it, and register the new key as public_key") from None
        public = key.public_key().public_bytes_raw()
        self.public = b64url(public)
        """As it is registered: base64url of 32 bytes."""
        self.signer = Ed25519Signer(ed25519_kid(public), key)


class Receipts:
    """Signs what the device says, with a counter that grows over power cuts too. `path`: where the counter lies.

    `key` is None where the server doesn't know it: then the device's word goes unsigned.
    A counter that was lost begins again at the greatest authentic time in milliseconds, which is above all it ever was.
    """

    def __init__(self, key: DeviceKey | None, path: Path, identity: Identity, floor_ms: int) -> None:
        self._key = key
        self._path = path
        self._identity = identity
        self._next = self._set_aside = _read(path, floor_ms)

    def of(
        self,
        said: Said,
        body: bytes | None = None,
        *,
        command_id: str | None = None,
        recording_id: str | None = None,
        generation: int | None = None,
    ) -> bytes | None:
        """A receipt for `body`, a JSON object as it is sent, or for none. `generation`: the present one when 0."""
        if self._key is None:
            return None
        known = self._identity.known
        assert known.iss is not None, "bind's answer names the deployment"
        assert known.device_id is not None, "and the device"
        return sign(
            Receipt(
                aud=known.iss,
                device=known.device_id,
                gen=generation or known.generation or 0,
                counter=self._count(),
                status=said,
                hash=None if body is None else body_hash(body),
                jti=command_id,
                recording_id=recording_id,
            ),
            self._key.signer,
        )

    def _count(self) -> int:
        self._next += 1
        if self._next > self._set_aside:
            self._set_aside = self._next + _BLOCK
            write_whole(self._path, seal({"set_aside": self._set_aside}))
        return self._next


def _read(path: Path, otherwise: int) -> int:
    try:
        found = read_sealed(path)
        return otherwise if found is None else int(found["set_aside"])
    except (ValueError, KeyError, TypeError):
        return otherwise


def receipts_in(folder: Path, identity: Identity, registered: str | None, floor_ms: int) -> Receipts:
    """The receipts of the recorder in `folder`. `registered`: its `public_key`, as bind's answer has it.

    ValueError where another key is registered: whatever was signed with this one would be refused.
    """
    key = DeviceKey(folder)
    if registered is not None and registered != key.public:
        raise ValueError(f"the device is registered with another public_key than that of {folder / 'device-key'}")
    return Receipts(key if registered else None, folder / "receipt-counter", identity, floor_ms)
