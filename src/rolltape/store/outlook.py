"""What is known of the next command to expire, so that not each call has to look."""

from typing import Final

TRUSTED_MS: Final = 500
"""How long a look at what is due is believed. No command ends sooner than a second after its creation, wherever that
was: so half a second is for clocks that differ, and for commits that take their time."""


class Outlook:
    """The last look at what is due: when that was, and until when nothing is. Times are ms."""

    def __init__(self) -> None:
        self._looked_at = 0
        self._clear_until = 0

    def is_clear(self, now: int) -> bool:
        """Whether nothing is due at `now`, as far as is known."""
        return self._looked_at <= now < self._clear_until

    def looked(self, now: int, next_due: int | None) -> None:
        """Nothing is due at `now`; the next command to expire does so at `next_due`."""
        self._looked_at, self._clear_until = now, min(now + TRUSTED_MS, next_due or now + TRUSTED_MS)

    def created(self, expires_at: int) -> None:
        """A command was created here that ends then."""
        self._clear_until = min(self._clear_until, expires_at)
