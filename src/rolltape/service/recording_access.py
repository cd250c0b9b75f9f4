"""Which recordings a caller may know, and the checks that several calls share."""

from typing import TYPE_CHECKING

from rolltape.codes import Code, Problem
from rolltape.domain.principal import KeyPrincipal, RelayedDevice, Speaker
from rolltape.domain.recordings import RecordingRow
from rolltape.wire import times

if TYPE_CHECKING:
    from rolltape.service.context import Services


def invalid(param: str, message: str) -> Problem:
    """A 400 that names the field."""
    return Problem(Code.INVALID_REQUEST, message, param=param)


def read_time(param: str, text: str | None) -> int | None:
    """A time of a request in ms; None stays None. Raises Problem: invalid_request."""
    try:
        return None if text is None else times.parse(text)
    except ValueError as error:
        raise invalid(param, f"`{param}` is {error}.") from None


def check_span(started_at: int, ended_at: int | None) -> None:
    """Raises Problem: invalid_request when a recording would end before it began."""
    if ended_at is not None and ended_at < started_at:
        raise invalid("ended_at", "The recording would end before it began: `ended_at` is earlier than `started_at`.")


async def find(app: "Services", who: Speaker, recording_id: str) -> RecordingRow:
    """The recording, if this caller may know it. Raises Problem: not_found.

    A device sees its own; with a token whose binding is over, only those that began under that binding. A relay sees
    those that began while the device was its end user's.
    """
    row = await app.store.get_recording(who.tenant.n, recording_id)
    if not _is_theirs(who, row):
        raise Problem(Code.NOT_FOUND, "There is no such recording of this device, or of this token's binding.")
    return row


def _is_theirs(who: Speaker, row: RecordingRow) -> bool:
    if isinstance(who, KeyPrincipal):
        return True
    if row.device_id != who.device_id:
        return False
    if isinstance(who, RelayedDevice):
        return row.generation in who.generations
    return not who.ended or row.generation == who.generation
