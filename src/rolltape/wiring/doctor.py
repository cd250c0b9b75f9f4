"""`rolltape doctor`: what is wrong with a data folder and its settings, and how to mend it."""

import asyncio
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import apsw
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from rolltape.clock import SystemClock, machine_ms
from rolltape.config import BadSetting, Settings
from rolltape.service.vault import BrokenKey
from rolltape.store.blobs import Unreachable
from rolltape.store.sqlite.database import FILE_NAME, Db, connect, migrations, schema_version
from rolltape.wire.times import iso
from rolltape.wiring.build import RECORDINGS_NAME, master_key_path, open_objects, open_vault

if TYPE_CHECKING:
    from rolltape.store.object_blobs import ObjectBlobs

Level = Literal["ok", "warning", "error"]
EARLIEST_MS = 1_767_225_600_000
"""2026-01-01: a machine whose clock says less has not been told the time."""
DAY_MS = 86_400_000
NEARLY_OVER_DAYS = 21
MOVE = "Stop the server, then: rolltape move-recordings --data FOLDER"
RESTORE = "rolltape restore FILE --data NEW_FOLDER"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `cure` says how to mend what isn't ok."""

    level: Level
    what: str
    cure: str | None = None


def admin_doctor(data: Path, env: Mapping[str, str]) -> list[Finding]:
    """Looks at configuration, disk, clock, keys and integrity. Never raises for what it finds."""
    try:
        settings = Settings.from_env(env, data=data)
    except BadSetting as error:
        return [Finding("error", f"Configuration: {error}", "Correct or unset that variable.")]
    findings = [Finding("ok", "Configuration: every setting can be used.")]
    findings += _tls(settings)
    findings += _disk(settings)
    if not (data / FILE_NAME).exists():
        findings.append(
            Finding("error", f"There is no database in {data}.", "Name the server's data folder with --data.")
        )
        return findings
    try:
        db = connect(data)
    except (apsw.Error, OSError) as error:
        return [*findings, _unusable(error)]
    try:
        findings += [*_schema(db), *_clock(db), *_keys(settings, db), *_integrity(db), *_recordings(settings, db)]
    except apsw.Error as error:
        findings.append(_unusable(error))
    finally:
        db.conn.close()
    return findings


def _unusable(error: Exception) -> Finding:
    if isinstance(error, (OSError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.IOError)):
        cure = "Check owner, mode and disk of the data folder: the server must be able to write there."
        return Finding("error", f"The database can't be opened: {error}.", cure)
    return Finding("error", f"The database is damaged: {error}.", f"Restore the last backup: {RESTORE}.")


def _tls(settings: Settings) -> Iterator[Finding]:
    if settings.tls_cert is None or settings.tls_key is None:
        if settings.host not in ("127.0.0.1", "::1", "localhost"):
            yield Finding(
                "warning",
                f"The server listens on {settings.host} without TLS: credentials travel in the clear.",
                "Set ROLLTAPE_TLS_CERT and ROLLTAPE_TLS_KEY, or put a TLS proxy in front.",
            )
        return
    try:
        certificate = x509.load_pem_x509_certificate(settings.tls_cert.read_bytes())
        key = load_pem_private_key(settings.tls_key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        yield Finding(
            "error", f"TLS certificate or key can't be read: {error}.", "Name PEM files that the server may read."
        )
        return
    if certificate.public_key() != key.public_key():
        yield Finding(
            "error", "TLS: the key is not the certificate's.", "Name the key that the certificate was made for."
        )
        return
    left = int(certificate.not_valid_after_utc.timestamp() * 1000) - machine_ms()
    if left < 0:
        yield Finding("error", "TLS: the certificate has expired.", "Renew it and start the server again.")
    elif left < NEARLY_OVER_DAYS * DAY_MS:
        yield Finding("warning", f"TLS: the certificate expires in {left // DAY_MS} days.", "Renew it.")
    else:
        yield Finding("ok", "TLS: certificate and key fit, and are good.")


def _disk(settings: Settings) -> Iterator[Finding]:
    place = settings.data if settings.data.exists() else settings.data.absolute().parent
    free = shutil.disk_usage(place).free if place.exists() else 0
    if free < settings.reserve_bytes:
        yield Finding(
            "error",
            f"Disk: {free >> 20} MiB are free, less than the reserve; uploads are refused.",
            "Free some space, or move the data folder to a larger disk.",
        )
    elif free < 4 * settings.reserve_bytes:
        yield Finding("warning", f"Disk: only {free >> 20} MiB are free.", "Free some space soon.")
    else:
        yield Finding("ok", f"Disk: {free >> 20} MiB are free.")
    if settings.data.exists() and stat.S_IMODE(settings.data.stat().st_mode) & 0o077:
        yield Finding("warning", f"{settings.data} can be entered by others.", f"Run: chmod 700 {settings.data}")


def _schema(db: Db) -> Iterator[Finding]:
    have, want = schema_version(db), migrations()[-1][0]
    if have == want:
        yield Finding("ok", f"Database: schema {have}, SQLite {apsw.sqlite_lib_version()}.")
    elif have < want:
        yield Finding(
            "warning", f"Database: schema {have} of {want}.", "Start the server once: it brings the schema up to date."
        )
    else:
        yield Finding("error", "Database: written by a newer Rolltape.", "Upgrade this Rolltape.")


def _clock(db: Db) -> Iterator[Finding]:
    now = machine_ms()
    row = db.one("SELECT max(created_at) FROM events WHERE n > (SELECT max(n) - 100 FROM events)")
    last = row[0] if row is not None and row[0] is not None else 0
    cure = "Set the machine's clock (NTP): expiry and grants go by it."
    if now < EARLIEST_MS:
        yield Finding("error", f"Clock: it says {iso(now)}.", cure)
    elif now < last - 5_000:
        yield Finding("error", f"Clock: it says {iso(now)}, but something happened at {iso(last)} already.", cure)
    else:
        yield Finding("ok", f"Clock: {iso(now)}.")


def _keys(settings: Settings, db: Db) -> Iterator[Finding]:
    path = master_key_path(settings)
    if not path.exists():
        yield Finding(
            "error",
            f"Keys: there is no master key at {path}.",
            "Restore it from your backup; without it no device obeys.",
        )
        return
    try:
        vault = open_vault(settings, db, machine_ms())
    except BrokenKey as error:
        yield Finding("error", f"Keys: {error}", "Then start the server again.")
        return
    yield Finding("ok", f"Keys: the master key fits; {len(vault.kids())} grant key(s), the newest {vault.newest.kid}.")


def _integrity(db: Db) -> Iterator[Finding]:
    told = [str(row[0]) for row in db.all("PRAGMA quick_check(10)")]
    broken = db.all("PRAGMA foreign_key_check")
    if told != ["ok"] or broken:
        yield Finding(
            "error",
            f"Integrity: {told[0]}; {len(broken)} broken references.",
            f"Restore the last backup: {RESTORE}.",
        )
    else:
        yield Finding("ok", "Integrity: the database is whole.")


def _recordings(settings: Settings, db: Db) -> Iterator[Finding]:
    if settings.recordings is not None:
        yield from _objects(settings, settings.recordings, db)
        return
    root = settings.data / RECORDINGS_NAME
    uploaded = db.all("SELECT id FROM media WHERE status = 'uploaded'")
    there = {path.name.split(".")[0] for path in root.rglob("*") if path.is_file()}
    missing = [media_id for (media_id,) in uploaded if media_id not in there]
    if missing:
        yield Finding(
            "error",
            f"Recordings: the bytes of {len(missing)} are missing, {missing[0]} the first.",
            f"Restore {root} from your backup.",
        )
    else:
        yield Finding("ok", f"Recordings: the bytes of all {len(uploaded)} are there.")


def _objects(settings: Settings, url: str, db: Db) -> Iterator[Finding]:
    left = sum(not path.suffix for path in (settings.data / RECORDINGS_NAME).glob("??/med_*"))
    if left:
        yield Finding("error", f"Recordings: {left} files are in the folder still, not in {url}.", MOVE)
    try:
        blobs = open_objects(settings, url, SystemClock())
        there = asyncio.run(_probe(blobs))
    except (ValueError, Unreachable) as error:
        yield Finding(
            "error",
            f"Recordings: {url} can't be used ({error}).",
            "Check bucket, credentials, region and endpoint: reading, writing, listing and deleting must be permitted.",
        )
        return
    uploaded = set(db.all("SELECT id, content_sha256 FROM media WHERE status = 'uploaded'"))
    if missing := sorted(uploaded - there):
        yield Finding(
            "error",
            f"Recordings: the bytes of {len(missing)} are missing in {url}, {missing[0][0]} the first.",
            "Bring them back from the bucket's own versions or backup.",
        )
    elif not left:
        yield Finding("ok", f"Recordings: the bytes of all {len(uploaded)} are there, and {url} can be written to.")


async def _probe(blobs: "ObjectBlobs") -> set[tuple[str, str]]:
    """Does once all that a server does, and lists what is there. Raises Unreachable."""
    try:
        key = f"checking/doctor.{secrets.token_hex(8)}"
        await blobs.calls.put(key, b"x")
        await blobs.calls.copy(key, f"{key}.copy")
        await blobs.calls.read(f"{key}.copy", 0, 1)
        await blobs.calls.sign("GET", key, 60)
        await blobs.calls.delete([key, f"{key}.copy"])
        return await blobs.wholes()
    finally:
        await blobs.close()
