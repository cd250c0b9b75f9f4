"""Credentials that were looked up a moment ago. Bounded, and believed for a second at the most.

So a key that another process made counts at once, and one that it revoked stops within the second; what this process
changes itself is forgotten on the spot. Where no other process can end a binding, a device's token may be believed for
longer: the store then says when one ends.
"""

from collections import OrderedDict

from msgspec import Struct

from rolltape.domain.principal import DevicePrincipal, KeyPrincipal, RelayPrincipal

BELIEVED_SECONDS = 1.0
MOST = 250_000
"""The most that are remembered, some 450 bytes each."""


class KnownKey(Struct, frozen=True, gc=False):
    """An API key that was found good."""

    n: int
    who: KeyPrincipal
    looked_at: float


class KnownToken(Struct, frozen=True, gc=False):
    """A device token that was found good, whose first use has been noted."""

    who: DevicePrincipal
    looked_at: float


class KnownRelay(Struct, frozen=True, gc=False):
    """A relay token that was found good."""

    who: RelayPrincipal
    looked_at: float


Known = KnownKey | KnownToken | KnownRelay


def _owner(known: Known) -> str:
    if isinstance(known, KnownRelay):
        return known.who.end_user_id
    return known.who.key_id if isinstance(known, KnownKey) else known.who.device_id


class Credentials:
    """By hash. The oldest go when there are too many."""

    def __init__(self, token_seconds: float = BELIEVED_SECONDS) -> None:
        """`token_seconds`: how long the token of a binding that lasts is believed."""
        self._token_seconds = token_seconds
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._by_owner: dict[str, tuple[bytes, ...]] = {}
        self.used_keys: dict[int, int] = {}
        self.used_relays: dict[int, int] = {}

    def get(self, hash_: bytes, at: float) -> Known | None:
        """What is known of it, if that is fresh."""
        known = self._known.get(hash_)
        if known is None:
            return None
        lasting = isinstance(known, KnownToken) and not known.who.ended
        believed = self._token_seconds if lasting else BELIEVED_SECONDS
        return known if at - known.looked_at < believed else None

    def keep(self, hash_: bytes, known: Known) -> None:
        """Remembers it."""
        if hash_ in self._known:  # no credential changes hands: whose it is has been noted
            self._known[hash_] = known
            self._known.move_to_end(hash_)
            return
        self._known[hash_] = known
        owner = _owner(known)
        self._by_owner[owner] = (*self._by_owner.get(owner, ()), hash_)
        if len(self._known) > MOST:
            self._drop(next(iter(self._known)))

    def forget(self, owner: str) -> None:
        """What is known of the credentials of that key, device or end user (by id) is no longer so."""
        for hash_ in self._by_owner.get(owner, ()):
            self._drop(hash_)

    def _drop(self, hash_: bytes) -> None:
        owner = _owner(self._known.pop(hash_))
        mine = self._by_owner.pop(owner)
        if len(mine) > 1:
            self._by_owner[owner] = tuple(each for each in mine if each != hash_)
