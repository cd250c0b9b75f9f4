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
from rolltape.service.credentials import Credentials
from rolltape.service.vault import BrokenKey, Vault, load_master_key, make_master_key
from rolltape.service.wakeups import Wakeups
from rolltape.store.blobs import BlobStore
from rolltape.store.folder_blobs import FolderBlobs
from rolltape.store.sqlite import accounts
from rolltape.store.sqlite.database import FILE_NAME, Db, connect, migrate, transaction
from rolltape.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from rolltape.store.object_blobs import ObjectBlobs

log = logging.getLogger("rolltape")
MASTER_KEY_NAME = "master.key"
RECORDINGS_NAME = "recordings"
LOCK_NAME = "server.lock"
TOKEN_SECONDS = 3600.0
"""Only the one server of a data folder ends bindings, and its store says so: a token needn't be looked up each time."""
_ISS = "iss"
_CHECK = "master_key_check"


def master_key_path(settings: Settings) -> Path:
    """Where the master key is: as set, or in the data folder."""
    return settings.master_key_file or settings.data / MASTER_KEY_NAME


def prepare_folder(data: Path) -> None:
    """Makes the data folder, for its owner's eyes only."""
    if not data.exists():
        data.mkdir(parents=True, mode=0o700)


def open_database(data: Path) -> Db:
    """The database of a data folder, made if need be, its schema up to date.

    Raises ValueError where a new one would hide that the old one is gone, or for a newer schema; OSError, apsw.Error.
    """
    prepare_folder(data)
    if not (data / FILE_NAME).exists() and any((data / RECORDINGS_NAME).rglob("med_*")):
        raise ValueError(
            f"{data} has recordings but no {FILE_NAME}: it was lost, or another disk is mounted there. "
            "Put it back, or restore a backup into an empty folder."
        )
    db = connect(data)
    migrate(db)
    return db


def open_vault(settings: Settings, db: Db, now: int) -> Vault:
    """The deployment's secrets, made at its first start. Raises BrokenKey when the key isn't this database's."""
    path = master_key_path(settings)
    check = accounts.meta(db, _CHECK)
    if check is None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_master_key(path)
    with transaction(db):
        iss = accounts.set_meta_once(db, _ISS, secrets.token_hex(8))
        vault = Vault(load_master_key(path), iss)
        known = accounts.set_meta_once(db, _CHECK, vault.derive(b"check").hex())
        if known != vault.derive(b"check").hex():
            raise BrokenKey(
                f"The master key {path} is not the one of this database. Restore the one that belongs to it."
            )
        if not accounts.signing_keys(db):
            accounts.insert_signing_key(db, vault.new_signing_key(now))
        vault.load_signing_keys(accounts.signing_keys(db))
    return vault


class Occupied(Exception):
    """Another server is on this data folder."""


@contextmanager
def sole_server(data: Path) -> Iterator[None]:
    """Holds the data folder for one server while the context lasts. Raises Occupied. A killed process lets go too."""
    prepare_folder(data)
    with (data / LOCK_NAME).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def open_services(settings: Settings, clock: Clock) -> Services:
    """All parts of a server over the data folder. Raises BrokenKey, ValueError, OSError, apsw.Error."""
    db = open_database(settings.data)
    try:
        vault = open_vault(settings, db, clock.now_ms())
    finally:
        db.conn.close()
    blobs = open_blobs(settings, clock)
    credentials, wakeups = Credentials(token_seconds=TOKEN_SECONDS), Wakeups()
    store = SqliteStore(settings.data, on_binding_ended=credentials.forget, on_moved=wakeups.changed)
    return Services(settings, clock, store, blobs, vault, wakeups, credentials)


async def close_services(app: Services) -> None:
    """Writes what is in memory and lets go of everything."""
    await app.store.close()
    await app.blobs.close()
