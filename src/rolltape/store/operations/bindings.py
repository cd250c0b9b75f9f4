"""Bindings: who a device obeys, under which generation, with which token."""

from rolltape.codes import Code, Problem
from rolltape.domain import views
from rolltape.domain.rows import BoundRow, CommandRow, DeviceRow, TokenRow
from rolltape.store.database import Db, queries
from rolltape.store.inputs import Closed, NewCommand
from rolltape.store.operations import devices, events
from rolltape.store.operations.moves import close_open, insert, not_found

_Q = queries("bindings")
MAX_TOKENS = 20
"""Tokens kept of one binding: a caller that binds for ever must not fill the disk."""


async def bind(
    db: Db,
    tenant_n: int,
    device_id: str,
    end_user_id: str,
    kids: str,
    secret_sealed: bytes,
    token_hash: bytes,
    pk_d: str | None,
    now: int,
) -> tuple[DeviceRow, bytes | None]:
    """Binds the device, or gives the one bound to this user a further token; the device and its sealed HS256 secret.

    `kids` (JSON) are the grant keys that the answer carries. Raises Problem: not_found, device_already_bound.
    """
    if await db.one(_Q["end_user_exists"], (end_user_id, tenant_n)) is None:
        problem = not_found("end user")
        problem.param = "end_user_id"
        raise problem
    await db.hold((device_id,))
    device = await devices.get(db, tenant_n, device_id)
    if device.end_user_id not in (None, end_user_id):
        raise Problem(
            Code.DEVICE_ALREADY_BOUND,
            "The device is bound to another end user. Unbind it first.",
            details={"status": "bound"},
        )
    if device.end_user_id is None:
        await _begin(db, device, end_user_id, kids, secret_sealed, now)
    else:
        await db.run(_Q["refresh_held_kids"], (kids, device_id))
    if pk_d is not None:
        await db.run(_Q["set_pk_d"], (pk_d, device_id))
    await db.run(_Q["touch_device"], (now, device_id))
    device = await devices.get(db, tenant_n, device_id)
    await add_token(db, tenant_n, device_id, device.generation, token_hash, now)
    return device, await secret_of(db, device_id, device.generation)


async def _begin(db: Db, device: DeviceRow, end_user_id: str, kids: str, secret_sealed: bytes, now: int) -> None:
    made = await db.one(_Q["bind"], (end_user_id, kids, device.id))
    assert made is not None, "the binding was read in this very transaction"
    secret = secret_sealed if device.grant_alg == "HS256" else None
    await db.run(_Q["remember_binding"], (device.id, made[0], end_user_id, secret, now))
    await db.run(_Q["forget_recording"], (device.id,))
    after = await devices.get(db, device.tenant_n, device.id)
    await _append(db, "device.bound", after, now)


async def _append(db: Db, type_: str, device: DeviceRow, now: int) -> None:
    await events.append(db, type_, views.device(device, now), now=now, tenant_n=device.tenant_n, device_id=device.id)


async def add_token(db: Db, tenant_n: int, device_id: str, generation: int, token_hash: bytes, now: int) -> None:
    """A further token of this binding. The oldest beyond MAX_TOKENS go, but never the one that the device uses.

    Raises Problem: token_revoked. The binding may have ended since its token was looked up.
    """
    await db.hold((device_id,))
    if not await lasts(db, device_id, generation):
        raise Problem(Code.TOKEN_REVOKED, "The binding of this token is over. Bind the device anew to get a token.")
    await db.run(_Q["insert_token"], (device_id, tenant_n, generation, token_hash, now))
    await db.run(_Q["prune_tokens"], (device_id, generation, device_id, generation, MAX_TOKENS))


async def secret_of(db: Db, device_id: str, generation: int) -> bytes | None:
    """The sealed HS256 secret of a binding, None for EdDSA."""
    row = await db.one(_Q["secret"], (device_id, generation))
    return None if row is None else row[0]


async def end_generation(db: Db, device_id: str, generation: int, now: int) -> tuple[str, ...] | None:
    """Ends the binding with that generation, if it is the one that lasts; never a later one.

    The commands that this closed; None when that binding didn't last any more.
    """
    if not await db.changed(_Q["end_binding"], (device_id, generation)):
        return None
    db.ended.append(device_id)
    await db.run(_Q["close_binding_history"], (now, device_id, generation))
    await db.run(_Q["end_tokens"], (now, device_id, generation))
    await db.run(_Q["touch_device"], (now, device_id))
    device = await devices.get_any(db, device_id)
    closed = await close_open(db, device_id, "device_unbound", "The device was unbound.", now)
    await _append(db, "device.unbound", device, now)
    return closed


async def lasts(db: Db, device_id: str, generation: int) -> bool:
    """Whether the device is bound under that generation."""
    return await db.one(_Q["lasts"], (device_id, generation)) is not None


async def unbind(db: Db, tenant_n: int, device_id: str, force: bool, now: int) -> Closed:
    """Unbinds; a no-op when it isn't bound. Raises Problem: not_found, device_recording (unless forced)."""
    await db.hold((device_id,))
    device = await devices.get(db, tenant_n, device_id)
    if device.end_user_id is None:
        return Closed(device, ())
    if not force:
        await _refuse_while_recording(db, device, now)
    closed = await end_generation(db, device_id, device.generation, now) or ()
    return Closed(await devices.get(db, tenant_n, device_id), closed)


async def _refuse_while_recording(db: Db, device: DeviceRow, now: int) -> None:
    runs = views.remote_recording_runs(device, now)
    if runs or await db.one(_Q["open_stop"], (device.id,)) is not None:
        why = "A remotely started recording runs" if runs else "A stop_recording is open"
        raise Problem(
            Code.DEVICE_RECORDING,
            f"{why} on this device. Stop it and wait for the result, or force.",
            details={"status": "bound", "recording_id": device.rec_id if runs else None},
        )


async def delete(db: Db, tenant_n: int, device_id: str, force: bool, now: int) -> tuple[str, ...]:
    """Unbinds and deletes the device; the commands that this closed. Raises Problem as `unbind`."""
    closed = (await unbind(db, tenant_n, device_id, force, now)).closed
    await devices.mark_deleted(db, device_id, now)
    return closed


async def reset(db: Db, new: NewCommand, now: int) -> tuple[CommandRow, bool, tuple[str, ...]]:
    """The open factory_reset, or a new one (True) that closes every other open command.

    Raises Problem: not_found, device_not_bound.
    """
    await db.hold((new.device_id,))
    device = await devices.get(db, new.tenant_n, new.device_id)
    if device.end_user_id is None:
        raise Problem(
            Code.DEVICE_NOT_BOUND,
            "The device is not bound, so there is nothing to reset.",
            details={"status": "unbound"},
        )
    before = await devices.open_reset(db, new.device_id)
    if before is not None:
        return before, False, ()
    closed = await close_open(db, new.device_id, "device_reset", "The device is being reset.", now)
    return await insert(db, new, device.generation, now), True, closed


async def token_by_hash(db: Db, token_hash: bytes) -> TokenRow | None:
    """The token with that hash, whatever its state."""
    row = await db.one(_Q["token_by_hash"], (token_hash,))
    return None if row is None else TokenRow(*row)


async def bound(db: Db, device_id: str) -> BoundRow | None:
    """The device with its binding; None where it has none."""
    row = await db.one(_Q["bound"], (device_id,))
    return None if row is None else BoundRow(*row)


async def use_token(db: Db, token: TokenRow, now: int) -> None:
    """Notes the first use of a token: from now on every older one of its binding is replaced."""
    await db.hold((token.device_id,))
    if await db.changed(_Q["use_token"], (now, token.n)):
        await db.run(_Q["replace_older_tokens"], (now, token.device_id, token.generation, token.n))


async def note_reuse(db: Db, token: TokenRow, now: int) -> None:
    """A replaced token came again: one event, the first time."""
    await db.hold((token.device_id,))
    if await db.changed(_Q["note_reuse"], (now, token.n)):
        await _append(db, "device.token_reused", await devices.get_any(db, token.device_id), now)


async def hold_kids(db: Db, device_id: str, kids: str) -> None:
    """Notes the grant keys (JSON) that the device says it holds."""
    await db.hold((device_id,))
    await db.run(_Q["refresh_held_kids"], (kids, device_id))
