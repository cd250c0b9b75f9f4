"""What `rolltape doctor` looks at in any database, and in PostgreSQL."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from rolltape.clock import machine_ms
from rolltape.config import Settings
from rolltape.service.vault import BrokenKey
from rolltape.store.database import Db, known_version
from rolltape.store.postgres import database as postgres
from rolltape.store.postgres.database import PgDb
from rolltape.store.transfer import marks
from rolltape.wire.times import iso
from rolltape.wiring.build import master_key_path, open_vault
from rolltape.wiring.doctor_recordings import Uploaded, recordings_findings
from rolltape.wiring.findings import Finding
from rolltape.wiring.moved import GO_ON, UNFINISHED

EARLIEST_MS = 1_767_225_600_000
"""2026-01-01: a machine whose clock says less has not been told the time."""


def postgres_findings(settings: Settings, url: str) -> list[Finding]:
    """What is wrong with the PostgreSQL at `url`, and with the recordings that it names."""
    found, uploaded = asyncio.run(_postgres(settings, url))
    return found if uploaded is None else [*found, *recordings_findings(settings, uploaded)]


async def _postgres(settings: Settings, url: str) -> tuple[list[Finding], Uploaded | None]:
    cure = "Check ROLLTAPE_DATABASE, that PostgreSQL runs there, and what its user may do."
    try:
        db = PgDb(await postgres.connect(url))
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return [Finding("error", f"PostgreSQL can't be reached: {error}.", cure)], None
    try:
        engine = f"PostgreSQL {await db.conn.fetchval('SHOW server_version')}"
        have = await postgres.schema_version(db)
        found = [*schema(have, known_version(postgres.PACKAGE), engine), *await _durable(db)]
        if have == 0:
            return found, None
        if await marks.copying(db) is not None:
            return [*found, Finding("error", f"Database: {UNFINISHED}", GO_ON)], None
        return [*found, *await in_any(settings, db)], await uploaded_in(db)
    except asyncpg.PostgresError as error:
        return [Finding("error", f"PostgreSQL refuses: {error}.", cure)], None
    finally:
        await db.conn.close()


async def _durable(db: PgDb) -> list[Finding]:
    off = [name for name in ("fsync", "synchronous_commit") if await db.conn.fetchval(f"SHOW {name}") == "off"]
    if not off:
        return []
    what = f"PostgreSQL: {' and '.join(off)} is off: a power cut can lose commands that a caller saw accepted."
    return [Finding("warning", what, "Switch it on.")]


def schema(have: int, want: int, engine: str) -> Iterator[Finding]:
    """Whether the schema is up to date."""
    if have == want:
        yield Finding("ok", f"Database: schema {have}, {engine}.")
    elif have < want:
        yield Finding(
            "warning", f"Database: schema {have} of {want}.", "Start the server once: it brings the schema up to date."
        )
    else:
        yield Finding("error", "Database: written by a newer Rolltape.", "Upgrade this Rolltape.")


async def in_any(settings: Settings, db: Db) -> list[Finding]:
    """What is looked at in the same way in every database: the clock, the keys."""
    return [await _clock(db), await _keys(settings, db)]


async def uploaded_in(db: Db) -> Uploaded:
    """What the database says is uploaded: the id of the bytes, and their SHA-256."""
    return {(row[0], row[1]) for row in await db.all("SELECT id, content_sha256 FROM media WHERE status = 'uploaded'")}


async def _clock(db: Db) -> Finding:
    now = machine_ms()
    row = await db.one("SELECT max(created_at) FROM events WHERE n > (SELECT max(n) - 100 FROM events)")
    last = row[0] if row is not None and row[0] is not None else 0
    cure = "Set the machine's clock (NTP): expiry and grants go by it."
    if now < EARLIEST_MS:
        return Finding("error", f"Clock: it says {iso(now)}.", cure)
    if now < last - 5_000:
        return Finding("error", f"Clock: it says {iso(now)}, but something happened at {iso(last)} already.", cure)
    return Finding("ok", f"Clock: {iso(now)}.")


async def _keys(settings: Settings, db: Db) -> Finding:
    path = master_key_path(settings)
    if not _is_there(path):
        cure = "Restore it from your backup; without it no device obeys."
        return Finding("error", f"Keys: there is no master key at {path}.", cure)
    try:
        vault = await open_vault(settings, db, machine_ms())
    except BrokenKey as error:
        return Finding("error", f"Keys: {error}", "Then start the server again.")
    return Finding("ok", f"Keys: the master key fits; {len(vault.kids())} grant key(s), the newest {vault.newest.kid}.")


def _is_there(path: Path) -> bool:
    return path.exists()
