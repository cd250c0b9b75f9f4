"""Rate limits in memory: one leaky bucket for each credential, kept as a single number.

The generic cell rate algorithm (ITU-T I.371): each credential has the moment at which its bucket will be empty again.
A request moves it on by 1/rate; one that would move it further ahead than `burst` requests is refused.
"""

from dataclasses import dataclass
from math import ceil

from rolltape.codes import Code, Problem
from rolltape.web.call import Header

BURST_FACTOR = 10
"""A burst is this many seconds of the rate."""
MAX_TRACKED = 100_000
"""The most credentials that are remembered; beyond it those that have rested longest go first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a credential stands after one request. Times in seconds; `retry_after` is 0 when it was let through."""

    remaining: int
    reset: float
    retry_after: float


class RateLimiter:
    """`rate` requests a second for each credential, with bursts of ten times that. A rate of 0 switches it off."""

    def __init__(self, rate: float, *, tracked: int = MAX_TRACKED) -> None:
        self.rate = rate
        self.burst = max(1, int(rate * BURST_FACTOR))
        self._interval = 1 / rate if rate else 0.0
        self._span = self.burst * self._interval
        self._tracked = tracked
        self._empty_at: dict[str | int, float] = {}
        self._limit_header: Header = (b"x-ratelimit-limit", str(self.burst).encode("ascii"))

    def take(self, credential: str | int, now: float) -> Standing:
        """Counts one request at `now` (monotonic seconds)."""
        empty_at = self._empty_at.get(credential, now)
        after = (empty_at if empty_at > now else now) + self._interval
        ahead = after - now
        if ahead > self._span + 1e-9:
            return Standing(0, ahead - self._interval, ahead - self._span)
        if len(self._empty_at) >= self._tracked:
            self._forget(now)
        self._empty_at[credential] = after
        return Standing(int((self._span - ahead) / self._interval + 1e-6), ahead, 0.0)

    def check(self, credential: str | int, now: float) -> tuple[tuple[Header, ...], Problem | None]:
        """Counts one request: the headers that say so, and the refusal if it is one too many."""
        if not self.rate:
            return (), None
        standing = self.take(credential, now)
        headers = (
            self._limit_header,
            (b"x-ratelimit-remaining", b"%d" % standing.remaining),
            (b"x-ratelimit-reset", b"%d" % ceil(standing.reset)),
        )
        return headers, _refusal(self.rate, standing) if standing.retry_after else None

    def __len__(self) -> int:
        return len(self._empty_at)

    def _forget(self, now: float) -> None:
        """Drops the empty buckets, which say nothing; and, if that is too few, the oldest tenth."""
        for credential in [c for c, empty_at in self._empty_at.items() if empty_at <= now]:
            del self._empty_at[credential]
        surplus = len(self._empty_at) - self._tracked * 9 // 10
        for credential in list(self._empty_at)[: max(0, surplus)]:
            del self._empty_at[credential]


def _refusal(rate: float, standing: Standing) -> Problem:
    seconds = ceil(standing.retry_after)
    return Problem(
        Code.RATE_LIMIT_EXCEEDED,
        f"Too many requests: {rate:g} a second on average. Nothing was done; try again in {seconds} s.",
        details={"retry_after": seconds},
    )
