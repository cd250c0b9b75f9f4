"""One request until it has an answer: when to try again, how long to wait, when to give up."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlencode

from rolltape.sdk.errors import ApiError, RateLimited, Unavailable, Unreachable, error_from
from rolltape.sdk.request import Request
from rolltape.sdk.steps import Answer, NoAnswer, Outcome, Pause, Plan, Send, monotonic, now_ms

T = TypeVar("T")

WAIT_MARGIN_SEC = 15.0
"""How much longer than `wait` the client listens before it takes the connection for dead."""
_FIRST_PAUSE_SEC = 0.2
_LONGEST_PAUSE_SEC = 5.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a client is. Seconds.

    `timeout`: for one try, on top of its `wait`. `deadline`: for all tries together, on top of `wait`; no pause goes
    past it. `max_tries`: 1 switches retries off.
    """

    timeout: float = 30.0
    deadline: float = 60.0
    max_tries: int = 5


@dataclass(frozen=True, slots=True)
class Session:
    """Where requests go and as whom."""

    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    policy: Policy


def exchange(request: Request[T], session: Session) -> Plan[T]:
    """Send the request, again where that is safe and may help, and read the answer.

    Tried again: where nothing was sent; after 429; and, if the request is repeatable, after a lost answer and after
    502, 503 and 504. Between tries: Retry-After, else a pause that doubles, with jitter. Raises ApiError, Unreachable,
    UnexpectedAnswer.
    """
    begun = yield from monotonic()
    answer_was_lost = False
    for tried in range(1, session.policy.max_tries + 1):
        outcome: Outcome = yield _sendable(request, session)
        if isinstance(outcome, Answer):
            if 200 <= outcome.status < 300:
                return request.read(outcome.body)
            if outcome.status == 404 and request.gone_is_done and answer_was_lost:
                return request.read(b"")
        answer_was_lost = answer_was_lost or _may_have_happened(outcome)
        error = yield from _error_of(outcome, request, answer_was_lost)
        pause = _pause(tried, error)
        spent = (yield from monotonic()) - begun
        if not error.may_retry or tried == session.policy.max_tries or spent + pause > _deadline(request, session):
            raise error
        yield Pause(pause)
    raise AssertionError("the last try returns or raises")


def _sendable(request: Request[T], session: Session) -> Send:
    headers = {**session.headers, **request.headers}
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    timeout = session.policy.timeout + (request.wait and request.wait + WAIT_MARGIN_SEC)
    return Send(request.method, url_of(session.base_url + request.path, request.query), headers, request.body, timeout)


def url_of(address: str, query: tuple[tuple[str, str], ...]) -> str:
    """`address` with its query string."""
    return f"{address}?{urlencode(query)}" if query else address


def _deadline(request: Request[T], session: Session) -> float:
    return session.policy.deadline + request.wait


def _may_have_happened(outcome: Outcome) -> bool:
    return outcome.sent if isinstance(outcome, NoAnswer) else outcome.status >= 500


def _error_of(outcome: Outcome, request: Request[T], maybe_done: bool) -> Plan[ApiError | Unreachable]:
    if isinstance(outcome, NoAnswer):
        retry = request.repeatable or not outcome.sent
        return Unreachable(_unreachable_text(outcome, retry), may_have_happened=maybe_done, may_retry=retry)
    wait = yield from retry_after(outcome.headers)
    error = error_from(outcome.status, outcome.headers, outcome.body, wait)
    if isinstance(error, Unavailable):
        error.may_retry = request.repeatable
    error.may_have_happened = error.may_have_happened or maybe_done
    return error


def _unreachable_text(outcome: NoAnswer, retry: bool) -> str:
    if not outcome.sent:
        return f"the server can't be reached: {outcome.why}. {_hint(outcome.why)}"
    what_next = "It is safe to send it again." if retry else "It may have happened: look before you send it again."
    return f"no answer came: {outcome.why.rstrip('.')}. {what_next}"


def _hint(why: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return "For a certificate of your own, name it: ca_file, --ca-file or ROLLTAPE_CA_FILE."
    if "WRONG_VERSION_NUMBER" in why:
        return "Does it speak TLS? If not, the URL begins with http://."
    return "Is it running, and is the URL right?"


def retry_after(headers: Mapping[str, str]) -> Plan[float | None]:
    """Seconds in Retry-After, given as a number or as a date (RFC 9110, section 10.2.3); None without one."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
    now = yield from now_ms()
    return max(0.0, at - now / 1000)


def _pause(tried: int, error: ApiError | Unreachable) -> float:
    if isinstance(error, RateLimited | Unavailable) and error.retry_after is not None:
        return error.retry_after + random.uniform(0, 0.1)  # noqa: S311 - spreads callers, keeps no secret
    return backoff(tried)


def backoff(tried: int) -> float:
    """Seconds to pause after the `tried`-th try (1 for the first): 0.2, doubling up to 5, less by chance up to half."""
    longest: float = min(_LONGEST_PAUSE_SEC, _FIRST_PAUSE_SEC * 2 ** (tried - 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads callers, keeps no secret
