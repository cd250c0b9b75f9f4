"""The end of an end user: its devices let go, its recordings deleted, in one transaction."""

from rolltape.store.database import Db
from rolltape.store.operations import accounts, bindings, devices, recordings, relays


async def delete(db: Db, tenant_n: int, end_user_id: str, now: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Unbinds the user's devices by force and deletes its recordings; the devices and the commands that this closed.

    Raises Problem: not_found.
    """
    await accounts.hold_end_user(db, tenant_n, end_user_id)
    mine = await devices.of_end_user(db, tenant_n, end_user_id)
    await db.hold({*mine, *await recordings.devices_of_end_user(db, tenant_n, end_user_id)})
    closed: list[str] = []
    for device_id in mine:
        closed += (await bindings.unbind(db, tenant_n, device_id, True, now)).closed
    await relays.revoke(db, tenant_n, end_user_id)
    await recordings.delete_of_end_user(db, tenant_n, end_user_id, now)
    await accounts.delete_end_user(db, tenant_n, end_user_id)
    return tuple(mine), tuple(closed)
