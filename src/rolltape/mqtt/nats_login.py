"""Who a server is to NATS, by a file: a user's credentials (a `.creds` file: a JWT and a seed), or an NKEY's seed.

The format is that of nats-io/nkeys: Base32 without padding over two bytes of prefix (a seed, and of what: here a user),
32 bytes of an Ed25519 seed, and CRC-16/XMODEM over all of that, low byte first; of a public key, over one byte and it.
"""

import base64
import binascii
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MOST_BYTES: Final = 65_536
_SEED, _USER = 18 << 3, 20 << 3
_JWT: Final = re.compile(r"-BEGIN NATS USER JWT-+\s+(\S+)\s+-+END NATS USER JWT-")
_MARKED: Final = re.compile(r"-BEGIN USER NKEY SEED-+\s+(\S+)\s+-+END USER NKEY SEED-")


@dataclass(frozen=True, slots=True)
class NatsLogin:
    """A user's key, and the JWT that vouches for it where there is one. A repr shows neither."""

    key: Ed25519PrivateKey = field(repr=False)
    jwt: bytes | None = field(repr=False)

    @property
    def public_nkey(self) -> str:
        """The user's name, `U…`, as it stands in the server's configuration."""
        packed = bytes([_USER]) + self.key.public_key().public_bytes_raw()
        return _base32(packed)

    def sign(self, nonce: str) -> bytes:
        """The server's nonce, signed, in Base64."""
        return base64.b64encode(self.key.sign(nonce.encode()))


def read_login(path: Path) -> NatsLogin:
    """What is in that file. Raises OSError, which says what is wrong and what to do, and nothing of what is in it."""
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise OSError(
            f"NATS: {path} can't be read ({error.strerror}). Name a .creds file, or one with a seed."
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise OSError(f"NATS: {path} can be read by others. Run: chmod 600 {path}")
    seed, jwt = _MARKED.search(text), _JWT.search(text)
    if seed is None and jwt is None and text.strip().isalnum():
        return NatsLogin(_key_of(text.strip(), path), None)
    if seed is None or jwt is None:
        raise _none_of(path)
    return NatsLogin(_key_of(seed[1], path), jwt[1].encode())


def _key_of(seed: str, path: Path) -> Ed25519PrivateKey:
    try:
        packed = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except ValueError:
        raise _none_of(path) from None
    body, crc = packed[:-2], packed[-2:]
    kind = (body[0] & 7) << 5 | body[1] >> 3 if len(body) == 34 else -1
    if kind != _USER or body[0] & 0xF8 != _SEED or binascii.crc_hqx(body, 0).to_bytes(2, "little") != crc:
        raise _none_of(path)
    return Ed25519PrivateKey.from_private_bytes(body[2:])


def _none_of(path: Path) -> OSError:
    return OSError(
        f"NATS: {path} has neither a user's credentials (a .creds file, as nsc makes it) nor a user's NKEY seed (SU…)."
    )


def _base32(packed: bytes) -> str:
    whole = packed + binascii.crc_hqx(packed, 0).to_bytes(2, "little")
    return base64.b32encode(whole).rstrip(b"=").decode()
