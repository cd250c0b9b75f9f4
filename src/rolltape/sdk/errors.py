"""What can go wrong with a call, as exceptions. One class for each code that people catch.

Every one carries two facts, because they are what a caller needs to go on: `may_have_happened` (the call may have had
its effect although you see an error) and `may_retry` (the same call, unchanged, may succeed later and does no harm).
"""

from typing import Any

import msgspec

from rolltape.codes import Code
from rolltape.wire.common import ErrorAnswer, ErrorBody

__all__ = [
    "ApiError",
    "CommandNoGo",
    "CommandNotCancellable",
    "CommandQueueFull",
    "Conflict",
    "DeviceAlreadyBound",
    "DeviceNotBound",
    "DeviceRecording",
    "ExternalIdTaken",
    "Forbidden",
    "IdConflict",
    "IdempotencyKeyReused",
    "IntegrityFailure",
    "InternalError",
    "InvalidRequest",
    "MethodNotAllowed",
    "NotFound",
    "PayloadTooLarge",
    "PreconditionFailed",
    "RangeNotSatisfiable",
    "RateLimited",
    "ResultConflict",
    "RolltapeError",
    "ServerError",
    "SettingsError",
    "TokenRevoked",
    "TransferFailed",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "Unreachable",
    "UnsupportedMediaType",
    "UploadConflict",
    "UploadIncomplete",
]


class RolltapeError(Exception):
    """The root of all that this package raises."""

    may_have_happened: bool = False
    """Whether the call may have had its effect all the same."""
    may_retry: bool = False
    """Whether the same call, unchanged, may succeed later and does no harm."""


class SettingsError(RolltapeError, ValueError):
    """The client was made, or called, with a value that can't work: nothing was sent."""


class Unreachable(RolltapeError):
    """No answer came: the server can't be reached, or the connection broke, or it took too long."""

    def __init__(self, message: str, *, may_have_happened: bool, may_retry: bool) -> None:
        super().__init__(message)
        self.may_have_happened = may_have_happened
        self.may_retry = may_retry


class UnexpectedAnswer(RolltapeError):
    """What answered doesn't speak this API: is there a proxy in between, or is the URL another server's?"""

    may_have_happened = True


class TransferFailed(RolltapeError):
    """The bytes of a recording could not be moved whole, or are not the ones that were meant."""

    may_retry = True


class ApiError(RolltapeError):
    """The server answered with an error. Catch a subclass for one code, or look at `code`."""

    def __init__(self, body: ErrorBody, status: int, *, retry_after: float | None = None) -> None:
        super().__init__(body.message)
        self.code: str = body.code
        self.message: str = body.message
        self.param: str | None = body.param
        self.details: dict[str, Any] = body.details or {}
        self.request_id: str = body.request_id
        self.status: int = status
        self.retry_after: float | None = retry_after
        """Seconds to wait before another try, where the server said so."""

    def __str__(self) -> str:
        where = f" [{self.param}]" if self.param else ""
        return f"{self.code}{where}: {self.message} (request {self.request_id})"


class InvalidRequest(ApiError):
    """400: a field, a query parameter or the whole request is not as it should be; `param` names it."""


class Unauthorized(ApiError):
    """401: the credential is missing, malformed or unknown."""


class TokenRevoked(Unauthorized):
    """401: the device token was ended by unbind, delete or reset."""


class Forbidden(ApiError):
    """403: the credential is good but lacks the scope that the message names."""


class NotFound(ApiError):
    """404: there is no such object in this project and mode."""


class MethodNotAllowed(ApiError):
    """405: the path exists, the method doesn't."""


class Conflict(ApiError):
    """409: the state of the object forbids it. `details["status"]` has the object's status."""


class DeviceAlreadyBound(Conflict):
    """The device belongs to another end user: unbind it first."""


class DeviceNotBound(Conflict):
    """The device has no end user: bind it first."""


class DeviceRecording(Conflict):
    """A recording runs on the device: stop it first, or force."""


class ExternalIdTaken(Conflict):
    """An end user with this `external_id` exists: look it up."""


class IdConflict(Conflict):
    """The id belongs to something else."""


class IdempotencyKeyReused(Conflict):
    """The idempotency key was used for another request."""


class CommandQueueFull(Conflict):
    """The device has 100 open commands: cancel some, or wait."""


class CommandNotCancellable(Conflict):
    """The command is no longer pending."""


class CommandNoGo(Conflict):
    """The command may not be acted on: cancelled, expired, finished or overtaken by a stop."""


class ResultConflict(Conflict):
    """Another result was reported first."""


class IntegrityFailure(Conflict):
    """The stored bytes are not those that were declared."""


class UploadIncomplete(Conflict):
    """Not all bytes are in yet."""


class UploadConflict(Conflict):
    """The upload was completed with other values, or another one is under way."""


class PreconditionFailed(ApiError):
    """412: the upload protocol's version is not spoken here."""


class PayloadTooLarge(ApiError):
    """413: the body is over the limit."""


class UnsupportedMediaType(ApiError):
    """415: this content type is not taken here."""


class RangeNotSatisfiable(ApiError):
    """416: the file is shorter than the range that was asked for."""


class RateLimited(ApiError):
    """429: too many requests with this credential; wait `retry_after` seconds."""

    may_retry = True


class ServerError(ApiError):
    """5xx: the fault is on the other side."""

    may_have_happened = True


class InternalError(ServerError):
    """500: a bug in the server; quote `request_id` to whoever runs it."""


class Unavailable(ServerError):
    """502, 503, 504: down, starting, draining, or out of disk; wait `retry_after` seconds."""


BY_CODE: dict[str, type[ApiError]] = {
    Code.INVALID_REQUEST: InvalidRequest,
    Code.UNAUTHORIZED: Unauthorized,
    Code.TOKEN_REVOKED: TokenRevoked,
    Code.FORBIDDEN: Forbidden,
    Code.NOT_FOUND: NotFound,
    Code.METHOD_NOT_ALLOWED: MethodNotAllowed,
    Code.DEVICE_ALREADY_BOUND: DeviceAlreadyBound,
    Code.DEVICE_NOT_BOUND: DeviceNotBound,
    Code.DEVICE_RECORDING: DeviceRecording,
    Code.EXTERNAL_ID_TAKEN: ExternalIdTaken,
    Code.ID_CONFLICT: IdConflict,
    Code.IDEMPOTENCY_KEY_REUSED: IdempotencyKeyReused,
    Code.COMMAND_QUEUE_FULL: CommandQueueFull,
    Code.COMMAND_NOT_CANCELLABLE: CommandNotCancellable,
    Code.COMMAND_NO_GO: CommandNoGo,
    Code.RESULT_CONFLICT: ResultConflict,
    Code.INTEGRITY_FAILURE: IntegrityFailure,
    Code.UPLOAD_INCOMPLETE: UploadIncomplete,
    Code.UPLOAD_CONFLICT: UploadConflict,
    Code.PRECONDITION_FAILED: PreconditionFailed,
    Code.PAYLOAD_TOO_LARGE: PayloadTooLarge,
    Code.UNSUPPORTED_MEDIA_TYPE: UnsupportedMediaType,
    Code.RANGE_NOT_SATISFIABLE: RangeNotSatisfiable,
    Code.RATE_LIMIT_EXCEEDED: RateLimited,
    Code.INTERNAL_ERROR: InternalError,
    Code.UNAVAILABLE: Unavailable,
}
"""The class that each code is raised as; a test holds it complete."""

_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    413: PayloadTooLarge,
    416: RangeNotSatisfiable,
    429: RateLimited,
    500: InternalError,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def error_from(status: int, headers: dict[str, str], body: bytes, retry_after: float | None) -> ApiError:
    """The exception for an answer that isn't a success. Header names are in lower case.

    A code that this version doesn't know is raised as the class of its status; so is an answer that isn't in the API's
    shape, for a proxy may have made it: its `code` is then `http_<status>`.
    """
    try:
        told = msgspec.json.decode(body, type=ErrorAnswer).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        message = f"HTTP {status} that is not in this API's shape; is there a proxy in between?"
        told = ErrorBody(code=f"http_{status}", message=message, request_id=headers.get("x-request-id", "unknown"))
    fallback = ServerError if status >= 500 else ApiError
    kind = BY_CODE.get(told.code) or _BY_STATUS.get(status, fallback)
    return kind(told, status, retry_after=retry_after)
