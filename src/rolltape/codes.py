"""The codes that travel: what went wrong with a request, and why a device could not obey.

Server, SDK and recorder share them. `Code` is the `error.code` of an HTTP answer; `Failure` is the `error.code` of a
command that a device reports as failed, or that the server closed itself.
"""

from enum import StrEnum
from typing import Any, Literal, get_args


class Code(StrEnum):
    """`error.code` of every answer that isn't a success. docs/errors.md lists what to do about each."""

    INVALID_REQUEST = "invalid_request"
    UNAUTHORIZED = "unauthorized"
    TOKEN_REVOKED = "token_revoked"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    DEVICE_ALREADY_BOUND = "device_already_bound"
    DEVICE_NOT_BOUND = "device_not_bound"
    DEVICE_RECORDING = "device_recording"
    EXTERNAL_ID_TAKEN = "external_id_taken"
    ID_CONFLICT = "id_conflict"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    COMMAND_QUEUE_FULL = "command_queue_full"
    COMMAND_NOT_CANCELLABLE = "command_not_cancellable"
    COMMAND_NO_GO = "command_no_go"
    RESULT_CONFLICT = "result_conflict"
    INTEGRITY_FAILURE = "integrity_failure"
    UPLOAD_INCOMPLETE = "upload_incomplete"
    UPLOAD_CONFLICT = "upload_conflict"
    PRECONDITION_FAILED = "precondition_failed"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    INTERNAL_ERROR = "internal_error"
    UNAVAILABLE = "unavailable"


class Failure(StrEnum):
    """Why a device did not do what a command says: the `error.code` of a report with status `failed`."""

    ALREADY_RECORDING = "already_recording"
    NOT_RECORDING = "not_recording"
    SUPERSEDED = "superseded"
    STORAGE_FULL = "storage_full"
    LOW_BATTERY = "low_battery"
    MICROPHONE_UNAVAILABLE = "microphone_unavailable"
    MUTED_LOCALLY = "muted_locally"
    GRANT_INVALID = "grant_invalid"
    GRANT_EXPIRED = "grant_expired"
    GRANT_REPLAYED = "grant_replayed"
    REPLAY_STATE_LOST = "replay_state_lost"
    CLOCK_UNKNOWN = "clock_unknown"
    INTERRUPTED = "interrupted"
    UNSUPPORTED_TYPE = "unsupported_type"
    INTERNAL = "internal"


RESULT_NOT_REPORTED = "result_not_reported"
"""`error.code` of a command that was delivered and expired before the device said how it ended."""

Scope = Literal[
    "devices:read",
    "devices:write",
    "recordings:read",
    "recordings:write",
    "end_users:read",
    "end_users:write",
    "webhooks:read",
    "webhooks:write",
    "events:read",
    "keys:write",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""All scopes, in the order in which they are listed."""

Mode = Literal["test", "live"]


class Problem(Exception):
    """A request that can't be granted: the one exception that turns into an error answer.

    `message` is for the reader of the answer: what was wrong and what to do next. It never holds a secret.
    `param` names the offending field, query parameter or header. `details` is what a program may need.
    """

    def __init__(
        self, code: Code, message: str, *, param: str | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.details = details
