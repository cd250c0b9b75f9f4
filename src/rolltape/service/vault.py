"""The deployment's secrets: the master key, and what it seals, derives and signs.

The master key is 32 random bytes in a file of mode 0600. Private grant keys and devices' HS256 secrets rest in the
database sealed under it (ChaCha20-Poly1305, RFC 8439, a fresh 96-bit nonce before each box); other keys are derived
from it (HKDF-SHA256, RFC 5869). Whoever has the database alone can forge nothing.
"""

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rolltape.codes import Code, Problem
from rolltape.domain.rows import SigningKeyRow
from rolltape.store.inputs import FIRST
from rolltape.store.media_files import sync_folder
from rolltape.wire.keys import Ed25519Signer, b64url, ed25519_kid, jwk, un_b64url

KEY_BYTES = 32
_NONCE = 12
_TAG = 12
_NUMBER = 8
_INFO = b"rolltape/v1/"


class BrokenKey(Exception):
    """The master key is missing, unsafe or not the one that sealed this database; the message says what to do."""


def load_master_key(path: Path) -> bytes:
    """The master key in `path`. Raises BrokenKey."""
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except OSError as error:
        raise BrokenKey(
            f"The master key {path} can't be read ({error.strerror}). Restore it from your backup."
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise BrokenKey(f"The master key {path} can be read by others. Run: chmod 600 {path}")
    if len(data) != KEY_BYTES:
        raise BrokenKey(f"The master key {path} has {len(data)} bytes, not {KEY_BYTES}. Restore it from your backup.")
    return data


def make_master_key(path: Path) -> bytes:
    """Writes a new master key, unless another process was faster; the one that is there then."""
    key = secrets.token_bytes(KEY_BYTES)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        key = load_master_key(path)
    finally:
        fresh.unlink()
    sync_folder(path.parent)  # what is sealed under it must not outlive it
    return key


class Vault:
    """What a deployment can seal, open, derive and sign. Never printed, never pickled."""

    def __init__(self, master_key: bytes, iss: str) -> None:
        self._master = master_key
        self._box = ChaCha20Poly1305(self.derive(b"seal"))
        self._cursor_key = self.derive(b"cursors")
        self.iss = iss
        self._signers: dict[str, Ed25519Signer] = {}
        self._newest: Ed25519Signer | None = None
        self._jwks: dict[str, Any] = {"keys": []}

    def __repr__(self) -> str:
        return f"Vault(iss={self.iss!r})"

    def derive(self, purpose: bytes) -> bytes:
        """A 32-byte key for one purpose."""
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_INFO + purpose).derive(self._master)

    def seal(self, secret: bytes, about: str) -> bytes:
        """Seals a secret; it opens only with the same `about`."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._box.encrypt(nonce, secret, about.encode())

    def open(self, sealed: bytes, about: str) -> bytes:
        """The secret. Raises BrokenKey when it was sealed under another master key, or was changed."""
        try:
            return self._box.decrypt(sealed[:_NONCE], sealed[_NONCE:], about.encode())
        except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
            raise BrokenKey(
                f"{about} was not sealed with this master key. Restore the key that belongs to this data."
            ) from None

    def new_signing_key(self, now: int) -> SigningKeyRow:
        """A fresh Ed25519 grant key, sealed, to be stored."""
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        kid = ed25519_kid(public)
        return SigningKeyRow(kid, public, self.seal(key.private_bytes_raw(), f"grant key {kid}"), now)

    def load_signing_keys(self, rows: Iterable[SigningKeyRow]) -> None:
        """Takes the stored grant keys, oldest first. Raises BrokenKey."""
        rows = list(rows)
        if [row.kid for row in rows] == list(self._signers):
            return
        self._signers = {
            row.kid: Ed25519Signer(
                row.kid, Ed25519PrivateKey.from_private_bytes(self.open(row.private_sealed, f"grant key {row.kid}"))
            )
            for row in rows
        }
        self._newest = self._signers[rows[-1].kid] if rows else None
        self._jwks = {"keys": [jwk(row.public) for row in reversed(rows)]}

    def signer_for(self, held: Iterable[str]) -> Ed25519Signer:
        """The newest grant key among those that a device holds; the newest of all when it holds none of ours."""
        mine = set(held)
        for kid in reversed(self._signers):
            if kid in mine:
                return self._signers[kid]
        return self.newest

    @property
    def newest(self) -> Ed25519Signer:
        """The newest grant key."""
        assert self._newest is not None, "a deployment has a grant key from its first start"
        return self._newest

    def kids(self) -> list[str]:
        """The ids of all grant keys, oldest first."""
        return list(self._signers)

    def grant_keys(self) -> dict[str, Any]:
        """The public grant keys as a JWKS, newest first."""
        return self._jwks

    def jwks(self) -> dict[str, Any]:
        """The same with the deployment's id beside them, for /.well-known/jwks.json."""
        return {"iss": self.iss, **self._jwks}

    def make_cursor(self, n: int, filters: tuple[object, ...]) -> str:
        """An opaque, URL-safe cursor: where a list goes on, good for the same filters alone."""
        return self.make_mark((n,), filters)

    def make_mark(self, numbers: tuple[int, ...], filters: tuple[object, ...]) -> str:
        """The same for several numbers."""
        body = b"".join(n.to_bytes(_NUMBER, "big") for n in numbers)
        return b64url(body + self._cursor_tag(body, filters))

    def open_cursor(self, cursor: str | None, filters: tuple[object, ...], first: int = FIRST) -> int:
        """The position in a cursor, `first` without one. Raises Problem: invalid_request."""
        if cursor is None:
            return first
        numbers = self.open_mark(cursor, 1, filters)
        if numbers is None:
            raise Problem(
                Code.INVALID_REQUEST,
                "The cursor is not one of this list. Use next_cursor as it was given, with the same filters.",
                param="cursor",
            )
        return numbers[0]

    def open_mark(self, text: str, count: int, filters: tuple[object, ...]) -> tuple[int, ...] | None:
        """The numbers that `make_mark` was given with the same filters; None for any other text."""
        try:
            data = un_b64url(text)
        except ValueError:
            return None
        body, tag = data[:-_TAG], data[-_TAG:]
        if len(body) != count * _NUMBER or not hmac.compare_digest(tag, self._cursor_tag(body, filters)):
            return None
        return tuple(int.from_bytes(body[at : at + _NUMBER], "big") for at in range(0, len(body), _NUMBER))

    def _cursor_tag(self, body: bytes, filters: tuple[object, ...]) -> bytes:
        bound = body + hashlib.sha256(msgspec.json.encode(filters)).digest()
        return hmac.digest(self._cursor_key, bound, "sha256")[:_TAG]
