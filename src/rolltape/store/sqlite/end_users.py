"""The end of an end user: its devices let go, its recordings deleted, in one transaction."""

from rolltape.store.sqlite import accounts, bindings, devices, recordings, relays
from rolltape.store.sqlite.database import Db


def delete(db: Db, tenant_n: int, end_user_id: str, now: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Unbinds the user's devices by force and deletes its recordings; the devices and the commands that this closed.

    Raises Problem: not_found.
    """
    accounts.end_user(db, tenant_n, end_user_id)
    mine = devices.of_end_user(db, tenant_n, end_user_id)
    closed: list[str] = []
    for device_id in mine:
        closed += bindings.unbind(db, tenant_n, device_id, True, now).closed
    relays.revoke(db, tenant_n, end_user_id)
    recordings.delete_of_end_user(db, tenant_n, end_user_id, now)
    accounts.delete_end_user(db, tenant_n, end_user_id)
    return tuple(mine), tuple(closed)
