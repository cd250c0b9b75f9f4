"""Where a new recording comes from: which device, under which binding, for which end user, on which command."""

from typing import NamedTuple

import msgspec

from rolltape.codes import Code, Problem
from rolltape.store.database import Db, queries
from rolltape.store.recordings import NewRecording
from rolltape.wire.ids import time_of

_Q = queries("recordings")


class Origin(NamedTuple):
    """What the recording's row says of it. `command_metadata` is JSON."""

    device_id: str | None
    generation: int | None
    end_user_id: str
    command_metadata: str


class _Command(NamedTuple):
    device_id: str
    generation: int
    metadata: str


async def find(db: Db, new: NewRecording) -> Origin:
    """The origin of `new`. Raises Problem: not_found or invalid_request, naming the field."""
    command = await _command(db, new)
    _check_generation(new, command)
    metadata = "{}" if command is None else command.metadata
    if new.by_device is not None:
        return await _of_device(db, new, new.by_device, command, metadata)
    device_id = command.device_id if command else new.device_id
    if device_id is None:
        return await _without_device(db, new, metadata)
    if command is None and await db.one(_Q["device_exists"], (device_id, new.tenant_n)) is None:
        raise _missing("device", "device_id")
    generation = command.generation if command else new.generation
    if generation is None:
        return await _present_or_named(db, new, device_id, metadata)
    return Origin(device_id, generation, await _user_of(db, new, device_id, generation), metadata)


async def _command(db: Db, new: NewRecording) -> _Command | None:
    if new.command_id is None:
        return None
    row = await db.one(_Q["command"], {"id": new.command_id, "tenant_n": new.tenant_n})
    device_id = new.by_device or new.device_id
    if row is None and device_id is not None and _may_have_aged(new, new.command_id):
        return None
    if row is None or (device_id is not None and device_id != row[0]):
        raise _missing("command on this device", "command_id")
    if new.token_ended and row[1] != new.token_generation:
        raise _missing("command under this token's binding", "command_id")
    metadata = msgspec.json.decode(row[2]).get("metadata")
    return _Command(row[0], row[1], msgspec.json.encode(metadata or {}).decode())


def _may_have_aged(new: NewRecording, command_id: str) -> bool:
    """Whether such a command can have been there: a device that was away for long still has its audio."""
    made_at = time_of("cmd", command_id)
    return new.aged_before is not None and made_at is not None and made_at <= new.aged_before


def _check_generation(new: NewRecording, command: _Command | None) -> None:
    if command is not None and new.generation not in (None, command.generation):
        raise _invalid("binding_generation", f"The command was created under generation {command.generation}.")
    if new.generation is not None and command is None and (new.by_device or new.device_id) is None:
        raise _invalid("binding_generation", "A generation is a device's: name the device_id too.")


async def _of_device(db: Db, new: NewRecording, device_id: str, command: _Command | None, metadata: str) -> Origin:
    generation = new.generation if command is None else command.generation
    if generation is None:
        generation = new.token_generation if new.command_id is None else await _generation_then(db, new, device_id)
    if new.token_ended and generation != new.token_generation:
        raise _missing("binding that this token may speak for", "binding_generation")
    return Origin(device_id, generation, await _user_of(db, new, device_id, generation), metadata)


async def _generation_then(db: Db, new: NewRecording, device_id: str) -> int:
    """Under which binding it began, where the command that would say so has aged out."""
    binding = await db.one(_Q["binding_at"], {"device_id": device_id, "began": new.started_at})
    if binding is None:
        raise _missing("command on this device, and the device wasn't bound when this began", "command_id")
    return int(binding[0])


async def _user_of(db: Db, new: NewRecording, device_id: str, generation: int) -> str:
    """Who was bound when the recording began: it is theirs, now and later."""
    row = await db.one(_Q["end_user_of_generation"], (device_id, generation))
    if row is None:
        raise _invalid("binding_generation", "The device was never bound under this generation.")
    end_user_id: str = row[0]
    if new.end_user_id not in (None, end_user_id):
        raise _invalid("end_user_id", "Another end user was bound then. Leave it out, or name the right generation.")
    await _check_user(db, new, end_user_id)
    return end_user_id


async def _check_user(db: Db, new: NewRecording, end_user_id: str) -> None:
    if await db.one(_Q["end_user_exists"], (end_user_id, new.tenant_n)) is None:
        raise _missing("end user (any more)", "end_user_id")


async def _present_or_named(db: Db, new: NewRecording, device_id: str, metadata: str) -> Origin:
    """By key, with a device and no generation.

    The last binding to the user that is named; else the one that lasted when the recording began, as far as there was
    one, or the present one.
    """
    if new.end_user_id is not None:
        await _check_user(db, new, new.end_user_id)
        last = await db.one(_Q["last_generation_of_end_user"], (device_id, new.end_user_id))
        return Origin(device_id, None if last is None else last[0], new.end_user_id, metadata)
    named = {"device_id": device_id, "began": new.started_at}
    binding = await db.one(_Q["binding_at"], named) or await db.one(_Q["present_binding"], (device_id,))
    if binding is None or binding[1] is None:
        raise _invalid("end_user_id", "The device isn't bound, so say whose recording it is.")
    await _check_user(db, new, binding[1])
    return Origin(device_id, binding[0], binding[1], metadata)


async def _without_device(db: Db, new: NewRecording, metadata: str) -> Origin:
    if new.end_user_id is None:
        raise _invalid("end_user_id", "Say whose recording it is, or which device made it (device_id).")
    await _check_user(db, new, new.end_user_id)
    return Origin(None, None, new.end_user_id, metadata)


def _missing(what: str, param: str) -> Problem:
    return Problem(Code.NOT_FOUND, f"There is no such {what}. Check the id, and the project and mode.", param=param)


def _invalid(param: str, message: str) -> Problem:
    return Problem(Code.INVALID_REQUEST, message, param=param)
