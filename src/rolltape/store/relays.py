"""What every store promises of relays: their tokens, what they reach, what is new for them, and what they claim.

Each write is atomic with its events and durable before its call comes back. A refusal (codes.Problem) changed nothing.
A relay reaches the devices that are bound to its end user; for what a device still has to tell, also those whose
binding to that user ended a while ago (`since`, ms), each under those bindings alone.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from rolltape.domain.rows import CommandRow, ReachedDevice, RelayDeviceRow, RelayTokenRow


@dataclass(frozen=True, slots=True)
class NewRelayToken:
    """A relay token to be written: by its hash alone. `device_ids` (JSON): for these alone; None: for all."""

    tenant_n: int
    end_user_id: str
    device_ids: str | None
    hash: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class NewClaim:
    """What a relay says without a receipt. `digest` tells two claims apart, `told` is kept in the history."""

    digest: bytes
    told: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom news are for: a relay of `end_user_id`, for these devices (JSON) alone, or for all (None)."""

    end_user_id: str
    device_ids: str | None


class RelayStore(Protocol):
    """Relays."""

    async def insert_relay_token(self, new: NewRelayToken, now: int) -> None:
        """Writes it. Raises Problem: not_found, for an end user or a device that isn't this tenant's."""
        ...

    async def relay_token_by_hash(self, token_hash: bytes) -> RelayTokenRow | None:
        """A quick look: also one whose time is over, never one whose end user is gone."""
        ...

    async def relay_token_lasts(self, n: int, now: int) -> bool:
        """A quick look: whether it is neither over nor revoked."""
        ...

    async def revoke_relay_tokens(self, tenant_n: int, end_user_id: str) -> None:
        """Ends all of that end user's. Raises Problem: not_found."""
        ...

    async def touch_relay_tokens(self, used: dict[int, int]) -> None:
        """When tokens were last used: token `n` → ms."""
        ...

    async def relay_devices(self, tenant_n: int, end_user_id: str) -> list[RelayDeviceRow]:
        """The devices that are bound to that end user, in the order of their creation; due commands still count."""
        ...

    async def reached_device(self, tenant_n: int, end_user_id: str, device_id: str, since: int) -> ReachedDevice | None:
        """A quick look: that device, also a deleted one; None where no binding to that user lasts or ended after
        `since`."""
        ...

    async def relay_position(self, now: int) -> int:
        """The number of the last event, once all that is due has expired."""
        ...

    async def relay_news(self, device_ids: list[str], after: int, upto: int) -> set[str]:
        """Which of these devices may have something else waiting, by the events after one number, up to another."""
        ...

    async def relay_closed(
        self, audience: Audience, after: int, upto: int, since: int, limit: int
    ) -> list[tuple[int, str]]:
        """Commands that a relay was offered and that it should drop by such an event: its number, their id.

        They were closed, or the device took them on its own connection. Each is told once.
        """
        ...

    async def claim(
        self, tenant_n: int, device_id: str, command_id: str, generation: int, new: NewClaim, now: int
    ) -> CommandRow:
        """Keeps a claim as an event of the command, which stays as it is: equal ones once, and so many at most.

        Raises Problem: not_found.
        """
        ...

    async def count_receipt(self, device_id: str, generation: int, counter: int) -> bool:
        """Notes a receipt's counter; whether it is above every one of that binding so far."""
        ...
