"""From settings to services: the data folder, the schema, the master key, the first grant key."""

import fcntl
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rolltape.clock import Clock
from rolltape.config import Settings
from rolltape.service.context import Services
from rolltape.service.credentials import BELIEVED_SECONDS, Credentials
from rolltape.service.doors import Doors
from rolltape.service.vault import BrokenKey, Vault, load_master_key, make_master_key
from rolltape.service.wakeups import Wakeups
from rolltape.store.blobs import BlobStore
from rolltape.store.database import Db
from rolltape.store.folder_blobs import FolderBlobs
from rolltape.store.operations import accounts
from rolltape.wiring.databases import RECORDINGS_NAME, open_bus, open_db, open_store, prepare_folder

if TYPE_CHECKING:
    from rolltape.store.object_blobs import ObjectBlobs

log = logging.getLogger("rolltape")
MASTER_KEY_NAME = "master.key"
LOCK_NAME = "server.lock"
TOKEN_SECONDS = 3600.0
"""Without PostgreSQL only the one server of a data folder ends bindings, and its store says so: a token needn't be
looked up each time."""
ISS = "iss"
CHECK = "master_key_check"


def master_key_path(settings: Settings) -> Path:
    """Where the master key is: as set, or in the data folder."""
    return settings.master_key_file or settings.data / MASTER_KEY_NAME


async def open_vault(settings: Settings, db: Db, now: int) -> Vault:
    """The deployment's secrets, made at its first start. Raises BrokenKey when the key isn't this database's."""
    async with db.alone():
        return await _open_vault(master_key_path(settings), db, now)


async def _open_vault(path: Path, db: Db, now: int) -> Vault:
    if await accounts.meta(db, CHECK) is None:
        _make_key_if_none(path)
    async with db.transaction():
        iss = await accounts.set_meta_once(db, ISS, secrets.token_hex(8))
        vault = Vault(load_master_key(path), iss)
        known = await accounts.set_meta_once(db, CHECK, vault.derive(b"check").hex())
        if known != vault.derive(b"check").hex():
            raise BrokenKey(
                f"The master key {path} is not the one of this database. Restore the one that belongs to it."
            )
        if not await accounts.signing_keys(db):
            await accounts.insert_signing_key(db, vault.new_signing_key(now))
        vault.load_signing_keys(await accounts.signing_keys(db))
    return vault


def _make_key_if_none(path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_master_key(path)


class Occupied(Exception):
    """Another server is on this data folder."""


@contextmanager
def place_of(settings: Settings, *, sole: bool = False) -> Iterator[None]:
    """Holds the data folder while the context lasts: for one server, or for all that share one PostgreSQL.

    `sole`: for nobody else in any case. Raises Occupied. A killed process lets go too.
    """
    data = settings.data
    alone = sole or settings.database is None
    prepare_folder(data)
    with (data / LOCK_NAME).open("w") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Occupied(f"another server runs on {data}. Stop it first, or serve another folder.") from None
        yield


def open_blobs(settings: Settings, clock: Clock) -> BlobStore:
    """Where the bytes of recordings are, as set. An object store isn't asked yet. Raises ValueError, OSError."""
    if settings.recordings is not None:
        if any((settings.data / RECORDINGS_NAME).glob("??/med_*")):
            log.warning("there are recordings in %s still: see rolltape move-recordings", settings.data)
        return open_objects(settings, settings.recordings, clock)
    return FolderBlobs(
        settings.data / RECORDINGS_NAME,
        max_bytes=settings.max_upload_bytes,
        reserve_bytes=settings.reserve_bytes,
        clock=clock,
    )


def open_objects(settings: Settings, url: str, clock: Clock) -> "ObjectBlobs":
    """The object store that `url` names, which isn't asked yet. Raises ValueError."""
    try:
        from rolltape.store.object_blobs import ObjectBlobs
        from rolltape.store.object_calls import ObjectCalls
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        raise ValueError(
            f"ROLLTAPE_RECORDINGS={url} needs the package obstore: pip install 'rolltape[objects]'"
        ) from None
    calls = ObjectCalls(url, public_endpoint=settings.recordings_public_url)
    return ObjectBlobs(calls, max_bytes=settings.max_upload_bytes, clock=clock)


async def open_services(settings: Settings, clock: Clock) -> Services:
    """All parts of a server. Raises BrokenKey, ValueError, OSError, apsw.Error, asyncpg.PostgresError."""
    async with open_db(settings) as db:
        vault = await open_vault(settings, db, clock.now_ms())
    blobs = open_blobs(settings, clock)
    alone = settings.database is None
    credentials = Credentials(token_seconds=TOKEN_SECONDS if alone else BELIEVED_SECONDS)
    wakeups = Wakeups()
    doors = Doors()

    def binding_ended(device_id: str) -> None:
        credentials.forget(device_id)
        doors.shut_out(device_id)

    store = await open_store(settings, binding_ended, wakeups.changed)
    wakeups.bus = open_bus(settings, vault, wakeups.heard)
    return Services(settings, clock, store, blobs, vault, wakeups, credentials, doors)


async def close_services(app: Services) -> None:
    """Writes what is in memory and lets go of everything."""
    if app.wakeups.bus is not None:
        await app.wakeups.bus.close()
    await app.store.close()
    await app.blobs.close()
