"""What an exit code means, and the sentence that goes to standard error. docs/cli.md has the table."""

import os
import sys
import traceback
from enum import IntEnum


class ExitCode(IntEnum):
    """How a run of `rolltape` ended."""

    OK = 0
    FAILED = 1
    """A command did not end as executed, a check found an error, or something else went wrong."""
    USAGE = 2
    """What was asked can't be right: an option, an id, or a value that the server refused (400, 413)."""
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    """401 or 403: no key, a wrong key, or a key without the scope."""
    CONFLICT = 5
    """409: the state of the object forbids it."""
    UNREACHABLE = 6
    """No answer, 429, 502, 503 or 504: try again later."""
    NOT_YET = 7
    """The command was not at its end in the time that --wait or --timeout gave it."""


def exit_code_of(error: BaseException) -> ExitCode:
    """The code for an error that ended the run."""
    from rolltape.codes import Problem
    from rolltape.config import BadSetting
    from rolltape.sdk import errors

    table: list[tuple[tuple[type[BaseException], ...], ExitCode]] = [
        ((errors.NotFound,), ExitCode.NOT_FOUND),
        ((errors.Unauthorized, errors.Forbidden), ExitCode.NOT_ALLOWED),
        ((errors.Conflict,), ExitCode.CONFLICT),
        ((errors.Unreachable, errors.Unavailable, errors.RateLimited), ExitCode.UNREACHABLE),
        ((errors.SettingsError, errors.InvalidRequest, errors.PayloadTooLarge, BadSetting), ExitCode.USAGE),
    ]
    if isinstance(error, Problem):
        error_kind = errors.BY_CODE[error.code]
        return next((code for kinds, code in table if issubclass(error_kind, kinds)), ExitCode.FAILED)
    return next((code for kinds, code in table if isinstance(error, kinds)), ExitCode.FAILED)


def explain(error: Exception) -> None:
    """Say on standard error what went wrong, without a traceback; ROLLTAPE_DEBUG=1 shows that too."""
    from rolltape.codes import Problem
    from rolltape.sdk.errors import ApiError, RolltapeError

    if os.environ.get("ROLLTAPE_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, ApiError):
        text = str(error)
    elif isinstance(error, Problem):
        text = f"{error.code}: {error.message}"
    elif isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        text = f"{place}{error.strerror or error}"
    elif isinstance(error, RolltapeError | ValueError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}. This is a bug; ROLLTAPE_DEBUG=1 shows where."
    sys.stderr.write(f"Error: {plain(text)}\n")


def plain(text: str) -> str:
    """`text` without what a terminal would obey: control characters become U+FFFD, line ends stay."""
    return "".join(
        letter if letter == "\n" or (letter.isprintable() and not 0xD800 <= ord(letter) < 0xE000) else "\ufffd"
        for letter in text
    )
