"""`rolltape doctor`: what is wrong with a data folder and its settings, and how to mend it."""

import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import apsw
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from rolltape.clock import machine_ms
from rolltape.config import BadSetting, Settings
from rolltape.store.database import drive, known_version
from rolltape.store.sqlite.database import FILE_NAME, PACKAGE, SqliteDb, connect, schema_version
from rolltape.store.transfer import marks
from rolltape.wiring.doctor_broker import broker_findings
from rolltape.wiring.doctor_database import in_any, postgres_findings, schema, uploaded_in
from rolltape.wiring.doctor_nats import nats_findings
from rolltape.wiring.doctor_recordings import recordings_findings
from rolltape.wiring.findings import Finding
from rolltape.wiring.moved import said_of

DAY_MS = 86_400_000
NEARLY_OVER_DAYS = 21
RESTORE = "rolltape restore FILE --data NEW_FOLDER"


def admin_doctor(data: Path, env: Mapping[str, str]) -> list[Finding]:
    """Looks at configuration, disk, clock, keys and integrity. Never raises for what it finds."""
    try:
        settings = Settings.from_env(env, data=data)
    except BadSetting as error:
        return [Finding("error", f"Configuration: {error}", "Correct or unset that variable.")]
    findings = [Finding("ok", "Configuration: every setting can be used.")]
    findings += _tls(settings)
    findings += _disk(settings)
    findings += broker_findings(settings)
    if settings.database is not None:
        return [*findings, *postgres_findings(settings, settings.database), *nats_findings(settings)]
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
        findings += schema(schema_version(db), known_version(PACKAGE), f"SQLite {apsw.sqlite_lib_version()}")
        findings += [*_moved(data, db), *_integrity(db), *drive(in_any(settings, db))]
        findings += recordings_findings(settings, drive(uploaded_in(db)))
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


def _moved(data: Path, db: SqliteDb) -> Iterator[Finding]:
    if schema_version(db) and (moved_to := drive(marks.moved(db))) is not None:
        yield Finding("error", f"Database: it lives in PostgreSQL ({moved_to.to}) now.", said_of(data, moved_to))


def _integrity(db: SqliteDb) -> Iterator[Finding]:
    told = [str(row[0]) for row in db.rows("PRAGMA quick_check(10)")]
    broken = db.rows("PRAGMA foreign_key_check")
    if told != ["ok"] or broken:
        yield Finding(
            "error",
            f"Integrity: {told[0]}; {len(broken)} broken references.",
            f"Restore the last backup: {RESTORE}.",
        )
    else:
        yield Finding("ok", "Integrity: the database is whole.")
