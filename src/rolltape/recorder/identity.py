"""Who this recorder is to the server: its token, its device id, its deployment, its binding, the keys it trusts.

The device id and the deployment are learned from the first heartbeat answer to a token, and stay for that token.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from rolltape.durable import read_sealed, seal, write_whole
from rolltape.recorder.binding import Binding
from rolltape.wire.ids import fingerprint
from rolltape.wire.keys import HmacKey, Verifier, un_b64url, verifiers_from_jwks


class Known(msgspec.Struct, kw_only=True):
    """What is kept.

    given: the fingerprint of the token that the settings gave. next_token: a fresh one that has not worked yet.
    ended: the server said that this token's binding is over. replay_device: whose replay record lies in the folder.
    former_token: of the binding before, which still tells how that one's commands ended.
    """

    given: str
    token: str
    next_token: str | None = None
    device_id: str | None = None
    iss: str | None = None
    generation: int | None = None
    jwks: dict[str, Any] | None = None
    ended: bool = False
    muted: bool = False
    replay_device: str | None = None
    former_token: str | None = None
    project_id: str | None = None

    def __repr__(self) -> str:
        return f"Known(device_id={self.device_id!r}, generation={self.generation!r})"


class Identity:
    """What is known, in the file `path`, written whole at each change."""

    def __init__(self, path: Path, token: str, binding: Binding | None = None) -> None:
        self._path = path
        given = fingerprint(token or (binding.mark if binding is not None else "")).hex()
        found = _read(path)
        self.has_past = path.exists()
        self.known = found if found is not None else Known(given=given, token=token)
        if self.known.given != given:  # bound anew: who we are has to be learned again, the audio and the story stay
            old = self.known
            self.known = Known(
                given=given,
                token=token,
                muted=old.muted,
                replay_device=old.replay_device,
                former_token=old.next_token or old.token,
            )
        if binding is not None:
            self._begin_with(binding)
        self._keep()

    def _begin_with(self, binding: Binding) -> None:
        """Take what bind's answer says, where nothing newer has been learned since."""
        known = self.known
        self.known = msgspec.structs.replace(
            known,
            device_id=known.device_id or binding.id,
            iss=known.iss or binding.grant_iss,
            generation=binding.binding_generation if known.generation is None else known.generation,
            jwks=known.jwks or binding.grant_keys,
        )

    def change(self, **changes: Any) -> None:
        """Set fields, durably; nothing is written when nothing changes."""
        changed = msgspec.structs.replace(self.known, **changes)
        if changed != self.known:
            self.known = changed
            self._keep()

    def learn(
        self, *, device_id: str | None, iss: str | None, generation: int | None, project_id: str | None = None
    ) -> None:
        """Take what a heartbeat answer says of us: the first word on device and deployment stays, the binding moves."""
        self.change(
            device_id=self.known.device_id or device_id,
            iss=self.known.iss or iss,
            project_id=self.known.project_id or project_id,
            generation=self.known.generation if generation is None else generation,
        )

    def tokens(self) -> list[str]:
        """The tokens to try, best first."""
        return [token for token in (self.known.next_token, self.known.token) if token]

    def worked(self, token: str) -> None:
        """The server took `token`: if it was the fresh one, the old one is over."""
        if token == self.known.next_token:
            self.change(token=token, next_token=None)

    def _keep(self) -> None:
        write_whole(self._path, seal(self.known))


class KeyRing:
    """The keys that this device checks grants with."""

    def __init__(self, identity: Identity, kid: str | None, secret: str | None) -> None:
        self._identity = identity
        self._shared: dict[str, Verifier] = {}
        if kid is not None and secret is not None:
            self._shared = {kid: HmacKey(kid, _secret_bytes(secret))}
        self._public: dict[str, Verifier] = {}
        if identity.known.jwks is not None:
            self._public = verifiers_from_jwks(identity.known.jwks)

    @property
    def keys(self) -> Mapping[str, Verifier]:
        """By key id. A device with a shared secret holds nothing else."""
        return self._shared or self._public

    @property
    def wants_keys(self) -> bool:
        """Whether public keys are needed and there are none."""
        return not self._shared and not self._public

    def take(self, jwks: Mapping[str, Any]) -> bool:
        """Hold the keys of an authentic JWKS in place of those held; whether that is news.

        Raises ValueError when it is broken or has none.
        """
        public = verifiers_from_jwks(jwks)
        if not public:
            raise ValueError("no Ed25519 key in it")
        if self._shared or public.keys() == self._public.keys():
            return False
        self._identity.change(jwks=dict(jwks))
        self._public = public
        return True


def _secret_bytes(secret: str) -> bytes:
    try:
        data = un_b64url(secret)
    except ValueError:
        raise ValueError("grant_secret is not base64url: pass it as bind's answer has it") from None
    if len(data) < 16:
        raise ValueError("grant_secret is too short: pass it as bind's answer has it")
    return data


def _read(path: Path) -> Known | None:
    try:
        value = read_sealed(path)
        return None if value is None else msgspec.convert(value, Known)
    except (ValueError, msgspec.ValidationError):
        return None
