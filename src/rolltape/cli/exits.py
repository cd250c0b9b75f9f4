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
    from rolltape.cli.options import NoKey
    from rolltape.codes import Problem
    from rolltape.config import BadSetting
    from rolltape.sdk import errors

    table: list[tuple[tuple[type[BaseException], ...], ExitCode]] = [
        ((errors.NotFound,), ExitCode.NOT_FOUND),
        ((errors.Unauthorized, errors.Forbidden, NoKey), ExitCode.NOT_ALLOWED),
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
    if os.environ.get("ROLLTAPE_DEBUG") == "1":
        traceback.print_exception(error)
    sys.stderr.write(f"Error: {plain(_sentence(error))}\n")


def _sentence(error: Exception) -> str:
    from rolltape.codes import Problem

    if isinstance(error, Problem):
        return f"{error.code}: {error.message}"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    home = type(error).__module__.partition(".")[0]
    if home == "rolltape" or isinstance(error, ValueError):
        return str(error)
    if home == "apsw":
        return f"the database can't be used: {error}. `rolltape doctor` looks what is wrong."
    return f"{type(error).__name__}: {error}. This is a bug; ROLLTAPE_DEBUG=1 shows where."


def plain(text: str) -> str:
    """`text` without what a terminal would obey: control characters become U+FFFD, line ends stay."""
    return "".join(
        letter if letter == "\n" or (letter.isprintable() and not 0xD800 <= ord(letter) < 0xE000) else "\ufffd"
        for letter in text
    )
