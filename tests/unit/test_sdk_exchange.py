"""When the SDK tries again, how long it waits and when it gives up; the plan is driven by hand, so no time goes by."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolltape.sdk.calls import accounts, commands, devices
from rolltape.sdk.errors import (
    InternalError,
    InvalidRequest,
    NotFound,
    RateLimited,
    RolltapeError,
    Unavailable,
    Unreachable,
)
from rolltape.sdk.exchange import Policy, Session, backoff, exchange
from rolltape.sdk.request import Request
from rolltape.sdk.steps import Answer, NoAnswer, Now, Pause, Send
from tests.unit.sdk_server import DEVICE, END_USER, as_json, error

SESSION = Session("http://127.0.0.1:1", {}, Policy())
LOST = NoAnswer(sent=True, why="the line went dead")
REFUSED = NoAnswer(sent=False, why="connection refused")
READ = devices.fetch("dev_1")
ONCE = accounts.create_end_user("mine")
REMOVE = devices.remove("dev_1")


def answer(reply: Any) -> Answer:
    return Answer(reply.status, {name.lower(): text for name, text in reply.headers.items()}, reply.body)


def failing(status: int, code: str, **headers: str) -> Answer:
    return answer(error(status, code, **headers))


OK = answer(as_json(DEVICE))


class Run:
    """What an exchange did when these outcomes came."""

    def __init__(self, request: Request[Any], *outcomes: Answer | NoAnswer, session: Session = SESSION) -> None:
        self.sent: list[Send] = []
        self.pauses: list[float] = []
        self.result: Any = None
        self.error: RolltapeError | None = None
        left, now = list(outcomes), 1000.0
        reply: Any = None
        plan = exchange(request, session)
        try:
            while True:
                match plan.send(reply):
                    case Now():
                        reply = (int(now * 1000), now)
                    case Pause(seconds=seconds):
                        now, reply = now + seconds, None
                        self.pauses.append(seconds)
                    case Send() as step:
                        self.sent.append(step)
                        reply = left.pop(0)
        except StopIteration as end:
            self.result = end.value
        except RolltapeError as error:
            self.error = error
        assert not left, "not all outcomes were asked for"


def test_a_read_is_sent_again_until_an_answer_comes() -> None:
    run = Run(READ, LOST, REFUSED, failing(502, "unavailable"), OK)
    assert run.result.id == "dev_1"
    assert len(run.pauses) == 3


def test_pauses_grow_and_are_spread() -> None:
    pauses = Run(READ, *[LOST] * 4, OK).pauses
    for tried, pause in enumerate(pauses):
        assert 0.1 * 2**tried <= pause <= 0.2 * 2**tried


@given(st.integers(1, 60))
def test_no_pause_is_longer_than_five_seconds(tried: int) -> None:
    assert 0.1 <= backoff(tried) <= 5


def test_what_may_not_be_repeated_is_not_after_a_lost_answer() -> None:
    run = Run(ONCE, LOST)
    assert isinstance(run.error, Unreachable)
    assert run.error.may_have_happened
    assert not run.error.may_retry


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_may_not_be_repeated_is_not_when_a_gateway_fails(status: int) -> None:
    run = Run(ONCE, failing(status, "unavailable", Retry_After="1"))
    assert isinstance(run.error, Unavailable)
    assert run.error.may_have_happened
    assert not run.error.may_retry


def test_what_was_never_sent_may_always_be_sent_again() -> None:
    run = Run(ONCE, REFUSED, REFUSED, answer(as_json(END_USER, 201)))
    assert run.result.external_id == "mine"


def test_a_server_that_is_not_there_is_unreachable_and_nothing_happened() -> None:
    run = Run(READ, *[REFUSED] * 5)
    assert isinstance(run.error, Unreachable)
    assert not run.error.may_have_happened
    assert run.error.may_retry
    assert len(run.sent) == 5


def test_once_an_answer_was_lost_it_may_have_happened_whatever_comes_after() -> None:
    run = Run(READ, LOST, *[REFUSED] * 4)
    assert run.error is not None
    assert run.error.may_have_happened


@pytest.mark.parametrize("request_", [READ, ONCE])
def test_a_limited_caller_waits_as_long_as_it_was_told(request_: Request[Any]) -> None:
    good = answer(as_json(DEVICE if request_ is READ else END_USER))
    run = Run(request_, failing(429, "rate_limit_exceeded", Retry_After="7"), good)
    assert 7 <= run.pauses[0] <= 7.1


def test_retry_after_may_be_a_date() -> None:
    date = "Thu, 01 Jan 1970 00:16:49 GMT"  # second 1009; the test's clock stands at 1000
    run = Run(READ, failing(503, "unavailable", Retry_After=date), OK)
    assert 9 <= run.pauses[0] <= 9.1


@pytest.mark.parametrize("text", ["soon", "-1", "1.5", "٣", ""])
def test_a_retry_after_that_cannot_be_read_is_not_obeyed(text: str) -> None:
    run = Run(READ, failing(503, "unavailable", Retry_After=text), OK)
    assert run.pauses[0] <= 0.2


def test_no_pause_goes_past_the_deadline() -> None:
    run = Run(READ, failing(429, "rate_limit_exceeded", Retry_After="61"))
    assert isinstance(run.error, RateLimited)
    assert run.error.may_retry
    assert run.error.retry_after == 61


def test_one_try_means_one_try() -> None:
    run = Run(READ, LOST, session=Session("http://x", {}, Policy(max_tries=1)))
    assert isinstance(run.error, Unreachable)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (failing(400, "invalid_request"), InvalidRequest),
        (failing(404, "not_found"), NotFound),
        (failing(500, "internal_error"), InternalError),
    ],
)
def test_what_another_try_would_not_mend_is_raised_at_once(outcome: Answer, kind: type[Exception]) -> None:
    run = Run(READ, outcome)
    assert isinstance(run.error, kind)
    assert not run.error.may_retry


def test_a_server_error_may_have_happened_and_a_refusal_did_not() -> None:
    assert Run(READ, failing(500, "internal_error")).error.may_have_happened  # type: ignore[union-attr]
    assert not Run(READ, failing(409, "device_not_bound")).error.may_have_happened  # type: ignore[union-attr]


def test_a_delete_whose_answer_was_lost_is_done_when_the_object_is_gone() -> None:
    run = Run(REMOVE, LOST, failing(404, "not_found"))
    assert run.error is None


def test_a_delete_of_what_was_never_there_is_not_found() -> None:
    run = Run(REMOVE, REFUSED, failing(404, "not_found"))
    assert isinstance(run.error, NotFound)


def test_the_client_listens_longer_than_the_server_holds_the_answer() -> None:
    run = Run(commands.create("dev_1", "start_recording", wait=60), failing(400, "invalid_request"))
    assert run.sent[0].timeout > 60
    assert run.sent[0].url.endswith("/v1/devices/dev_1/commands?wait=60")


def test_a_command_is_sent_again_with_the_same_random_key() -> None:
    run = Run(commands.create("dev_1", "start_recording"), LOST, failing(503, "unavailable"), failing(404, "not_found"))
    bodies = {step.content for step in run.sent}
    assert len(run.sent) == 3
    assert len(bodies) == 1
    assert b'"idempotency_key":"' in bodies.pop()  # type: ignore[operator]


def test_what_is_sent_shows_no_key_in_a_traceback() -> None:
    session = Session("http://x", {"Authorization": "Bearer sk_test_secret"}, Policy())
    sent = Run(READ, OK, session=session).sent[0]
    assert sent.headers["Authorization"] == "Bearer sk_test_secret"
    assert "secret" not in repr(sent) + repr(session)
