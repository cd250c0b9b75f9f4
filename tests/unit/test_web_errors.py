"""What a client and the log hear of an exception that nobody expected."""

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from rolltape.clock import SystemClock
from rolltape.codes import Code, Problem
from rolltape.config import Settings
from rolltape.service.wakeups import Wakeups
from rolltape.web.app import WebApp
from rolltape.web.call import Call
from rolltape.web.errors import STATUS, error_headers, scrubbed
from rolltape.web.operation import Operation
from rolltape.web.shared import Shared

SECRET = "sk_live_" + "Q" * 43
GRANT = "eyJhbGciOiJFZERTQSJ9.eyJhdWQiOiJkZXZfMSJ9.c2ln"


class Parts:
    """As much of the services as a public operation sees."""

    clock = SystemClock()
    config = Settings()
    wakeups = Wakeups()


async def breaks(call: Call[None, None]) -> None:
    raise RuntimeError(f"no {SECRET} {GRANT}")


async def breaks_when_encoded(call: Call[None, None]) -> Any:
    return object()


def answer(handler: Any) -> tuple[int, dict[str, str], bytes]:
    """What an application with that one operation answers."""
    shared = Shared(Parts(), key_rate=0, device_rate=0)  # type: ignore[arg-type]
    row = Operation(
        method="GET", path="/breaks", name="breaks", summary="", group="", answers={200: None}, handler=handler
    )
    web = WebApp(shared, (row,))
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"BODY-SECRET", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/breaks",
        "raw_path": b"/breaks",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer HEADER-SECRET"), (b"x-request-id", b"asked-for")],
    }
    asyncio.run(web(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"]


@pytest.mark.parametrize("handler", [breaks, breaks_when_encoded])
def test_an_exception_is_logged_with_its_request_and_told_to_nobody(
    handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        status, headers, body = answer(handler)
    assert (status, headers["x-request-id"]) == (500, "asked-for")
    error = msgspec.json.decode(body)["error"]
    assert (error["code"], error["request_id"]) == ("internal_error", "asked-for")
    assert "RuntimeError" not in body.decode()
    assert "Traceback" in caplog.text
    assert "asked-for" in caplog.text
    for secret in (SECRET, GRANT, "BODY-SECRET", "HEADER-SECRET"):
        assert secret not in caplog.text
        assert secret not in body.decode()


def test_what_looks_like_a_credential_is_scrubbed() -> None:
    for secret in (SECRET, GRANT, "dtok_" + "a-_Z" * 10, "rk_test_abc"):
        assert scrubbed(f"x {secret} y ('{secret}')") == "x [secret] y ('[secret]')"


def test_every_code_has_a_status_and_those_that_need_headers_have_them() -> None:
    assert set(STATUS) == set(Code)
    named = {code: [name for name, _ in error_headers(Problem(code, "m"))] for code in Code}
    assert named.pop(Code.UNAUTHORIZED) == named.pop(Code.TOKEN_REVOKED) == [b"www-authenticate"]
    assert named.pop(Code.RATE_LIMIT_EXCEEDED) == named.pop(Code.UNAVAILABLE) == [b"retry-after"]
    assert not any(named.values())
