"""Rate limits: a rate, a burst, and memory that stays bounded."""

from hypothesis import given
from hypothesis import strategies as st

from rolltape.codes import Code
from rolltape.web.limits import RateLimiter


def test_a_burst_is_ten_seconds_of_the_rate_and_then_the_rate_counts() -> None:
    limiter = RateLimiter(10)
    assert [limiter.take("a", 0.0).retry_after for _ in range(100)] == [0.0] * 100
    refused = limiter.take("a", 0.0)
    assert refused.remaining == 0
    assert 0 < refused.retry_after <= 0.1
    assert limiter.take("a", 0.1).retry_after == 0
    assert limiter.take("a", 0.1).retry_after > 0


def test_a_refused_request_costs_nothing() -> None:
    limiter = RateLimiter(1)
    for _ in range(10):
        limiter.take("a", 0.0)
    for _ in range(1000):
        assert limiter.take("a", 0.0).retry_after == 1.0
    assert limiter.take("a", 1.0).retry_after == 0


def test_credentials_have_buckets_of_their_own() -> None:
    limiter = RateLimiter(1)
    while not limiter.take("a", 0.0).retry_after:
        pass
    assert limiter.take("b", 0.0).remaining == 9


def test_a_rate_of_zero_switches_the_limit_off_with_its_headers() -> None:
    limiter = RateLimiter(0)
    assert all(limiter.check("a", 0.0) == ((), None) for _ in range(10_000))
    assert len(limiter) == 0


def test_a_refusal_says_when_to_come_back() -> None:
    limiter = RateLimiter(0.5)
    for _ in range(5):
        _, refused = limiter.check("a", 0.0)
        assert refused is None
    headers, refused = limiter.check("a", 0.0)
    assert refused is not None
    assert refused.code is Code.RATE_LIMIT_EXCEEDED
    assert refused.details == {"retry_after": 2}
    assert dict(headers) == {
        b"x-ratelimit-limit": b"5",
        b"x-ratelimit-remaining": b"0",
        b"x-ratelimit-reset": b"10",
    }


def test_remaining_counts_down_one_by_one() -> None:
    limiter = RateLimiter(10)
    assert [limiter.take("a", 5.0).remaining for _ in range(100)] == list(range(99, -1, -1))


def test_memory_stays_bounded_when_credentials_come_and_go() -> None:
    limiter = RateLimiter(10, tracked=100)
    for i in range(10_000):
        limiter.take(i, i * 0.001)
        assert len(limiter) <= 100


def test_memory_stays_bounded_when_nobody_ever_rests() -> None:
    limiter = RateLimiter(10, tracked=100)
    for i in range(1000):
        limiter.take(i, 0.0)
        assert len(limiter) <= 100


@given(
    st.integers(1, 50),
    st.lists(st.floats(0, 2, allow_nan=False).map(lambda x: round(x, 3)), max_size=200),
)
def test_no_more_than_the_burst_and_the_rate_ever_pass(rate: int, gaps: list[float]) -> None:
    limiter = RateLimiter(rate)
    now, passed = 0.0, 0
    for gap in gaps:
        now += gap
        passed += limiter.take("a", now).retry_after == 0
    assert passed <= limiter.burst + now * rate + 1
