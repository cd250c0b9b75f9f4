"""From a code to an HTTP answer: the only place that knows which code has which status."""

import logging
import re
import traceback
from typing import Final

import msgspec

from rolltape.codes import Code, Problem
from rolltape.web.call import Header
from rolltape.wire.common import ErrorAnswer, ErrorBody

STATUS: Final[dict[Code, int]] = {
    Code.INVALID_REQUEST: 400,
    Code.UNAUTHORIZED: 401,
    Code.TOKEN_REVOKED: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.DEVICE_ALREADY_BOUND: 409,
    Code.DEVICE_NOT_BOUND: 409,
    Code.DEVICE_RECORDING: 409,
    Code.EXTERNAL_ID_TAKEN: 409,
    Code.ID_CONFLICT: 409,
    Code.IDEMPOTENCY_KEY_REUSED: 409,
    Code.COMMAND_QUEUE_FULL: 409,
    Code.COMMAND_NOT_CANCELLABLE: 409,
    Code.COMMAND_NO_GO: 409,
    Code.RESULT_CONFLICT: 409,
    Code.INTEGRITY_FAILURE: 409,
    Code.UPLOAD_INCOMPLETE: 409,
    Code.UPLOAD_CONFLICT: 409,
    Code.PRECONDITION_FAILED: 412,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.RANGE_NOT_SATISFIABLE: 416,
    Code.RATE_LIMIT_EXCEEDED: 429,
    Code.INTERNAL_ERROR: 500,
    Code.UNAVAILABLE: 503,
}

INTERNAL: Final = Problem(
    Code.INTERNAL_ERROR,
    "Something went wrong on our side. It may have happened: look before you try again. "
    "If it stays so, tell the operator this request_id.",
)
"""What a client hears of an exception that nobody expected; the log has the rest, under the same request id."""

ENDING: Final = Problem(
    Code.UNAVAILABLE,
    "The server ends and could wait no longer for this request. "
    "Try again in a moment: an upload by PATCH goes on where it was.",
    details={"retry_after": 5},
)
"""What a client hears whose request is cut off at the end of the drain."""

_log = logging.getLogger("rolltape.web")
_encode = msgspec.json.Encoder().encode
_SECRETS = re.compile(r"\b(?:[sr]k_(?:live|test)_|dtok_|rtok_)[A-Za-z0-9_-]+|\beyJ[A-Za-z0-9_.-]+")


def error_body(problem: Problem, request_id: str) -> bytes:
    """The JSON of an error answer."""
    body = ErrorBody(
        code=problem.code.value,
        message=problem.message,
        request_id=request_id,
        param=problem.param,
        details=problem.details,
    )
    return _encode(ErrorAnswer(error=body))


def error_headers(problem: Problem) -> tuple[Header, ...]:
    """The headers that belong to a code: WWW-Authenticate, Retry-After (whole seconds, from `details.retry_after`)."""
    if problem.code in (Code.UNAUTHORIZED, Code.TOKEN_REVOKED):
        return ((b"www-authenticate", b'Bearer realm="rolltape"'),)
    if problem.code in (Code.RATE_LIMIT_EXCEEDED, Code.UNAVAILABLE):
        seconds = (problem.details or {}).get("retry_after", 1)
        return ((b"retry-after", str(seconds).encode("ascii")),)
    return ()


def scrubbed(text: str) -> str:
    """`text` with everything in it that looks like a credential or a grant taken out."""
    return _SECRETS.sub("[secret]", text)


def log_unexpected(error: BaseException, name: str, request_id: str) -> None:
    """Logs an exception that should not have happened: where and what, never headers or bodies."""
    trace = scrubbed("".join(traceback.format_exception(error)))
    _log.error("%s failed (%s)\n%s", name, request_id, trace)
