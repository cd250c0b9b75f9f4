"""Migrations: from nothing to the schema, again without harm, and never over a newer file."""

import re
from importlib import resources
from pathlib import Path

import apsw
import pytest

from rolltape.store.database import SCHEMA_VERSION_KEY, Query, migrations, own_queries, queries
from rolltape.store.sqlite import database
from rolltape.store.sqlite.database import PACKAGE, SqliteDb, connect, migrate, schema_version

AGGREGATES = ("accounts", "bindings", "commands", "devices", "events", "recordings", "relays", "retention", "states")


def _schema(db: SqliteDb) -> list[tuple[str, str]]:
    return db.rows(
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )


def test_numbers_follow_each_other_without_a_gap() -> None:
    assert [number for number, _ in migrations(PACKAGE)] == list(range(1, len(migrations(PACKAGE)) + 1))


def test_an_empty_file_gets_the_whole_schema_and_the_last_number(tmp_path: Path) -> None:
    db = connect(tmp_path)
    assert schema_version(db) == 0
    assert migrate(db) == schema_version(db) == migrations(PACKAGE)[-1][0]
    made = {name for name, _ in _schema(db)}
    told = "".join(text for _, text in migrations(PACKAGE))
    wanted = re.findall(r"CREATE (?:TABLE|(?:UNIQUE )?INDEX) (\w+)", told)
    assert made == set(wanted) - set(re.findall(r"DROP INDEX (\w+)", told))
    assert db.first("PRAGMA integrity_check") == ("ok",)
    assert db.rows("PRAGMA foreign_key_check") == []
    db.conn.close()


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    db = connect(tmp_path)
    migrate(db)
    before = _schema(db)
    db.conn.execute("INSERT INTO meta (key, value) VALUES ('mine', 'kept')")
    assert migrate(db) == schema_version(db)
    assert _schema(db) == before
    assert db.first("SELECT value FROM meta WHERE key = 'mine'") == ("kept",)
    db.conn.close()


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    db = connect(tmp_path)
    migrate(db)
    newer = str(migrations(PACKAGE)[-1][0] + 1)
    db.conn.execute("UPDATE meta SET value = ? WHERE key = ?", (newer, SCHEMA_VERSION_KEY))
    before = _schema(db)
    with pytest.raises(ValueError, match="newer Rolltape"):
        migrate(db)
    assert (_schema(db), schema_version(db)) == (before, int(newer))
    db.conn.close()


def test_a_migration_that_fails_half_way_leaves_the_version_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = connect(tmp_path)
    migrate(db)
    before, last = _schema(db), migrations(PACKAGE)[-1][0]
    broken = (
        *migrations(PACKAGE),
        (last + 1, "CREATE TABLE extra (n INTEGER) STRICT; CREATE TABLE extra (n INTEGER) STRICT;"),
    )
    monkeypatch.setattr(database, "migrations", lambda package: broken)
    with pytest.raises(apsw.SQLError):
        migrate(db)
    assert (_schema(db), schema_version(db)) == (before, last)
    db.conn.close()


def test_every_named_query_is_one_that_the_schema_knows(tmp_path: Path) -> None:
    db = connect(tmp_path)
    migrate(db)
    for aggregate in (*AGGREGATES, "flush"):
        for name, sql in (queries(aggregate) if aggregate in AGGREGATES else _own(aggregate)).items():
            if name.startswith(("where", "and_", "order")) or (name == "select" and not _stands_alone(db, sql)):
                continue
            try:
                db.conn.execute(f"EXPLAIN {sql}", _nothing_for(sql)).fetchall()
            except apsw.BindingsError:
                pytest.fail(f"{aggregate}.{name} could not be bound")
    db.conn.close()


def _own(aggregate: str) -> dict[str, Query]:
    own = own_queries(PACKAGE).items()
    return {name.split(".")[1]: sql for name, sql in own if name.startswith(f"{aggregate}.")}


def _stands_alone(db: SqliteDb, sql: str) -> bool:
    try:
        db.conn.execute(f"EXPLAIN {sql}", _nothing_for(sql)).fetchall()
    except apsw.SQLError:
        return False
    return True


def _nothing_for(sql: str) -> dict[str, None] | tuple[None, ...]:
    bare = re.sub(r"'[^']*'|--[^\n]*", "", sql)
    named = re.findall(r":(\w+)", bare)
    places = [int(n) for n in re.findall(r"\?(\d+)", bare)]
    return dict.fromkeys(named) if named else (None,) * max([bare.count("?") if not places else 0, *places])


def test_every_file_of_queries_is_looked_at_here() -> None:
    found = {file.name for file in (resources.files("rolltape.store") / "sql").iterdir()}
    assert {f"{aggregate}.sql" for aggregate in AGGREGATES} == {name for name in found if name.endswith(".sql")}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE commands SET status = 'lost'",
        "UPDATE commands SET expires_at = 1",
        "INSERT INTO tenants (project_id, mode) VALUES ('proj_a', 'both')",
        "INSERT INTO tenants (project_id, mode) VALUES ('proj_nobody', 'live')",
    ],
)
def test_the_schema_refuses_what_can_not_be(tmp_path: Path, sql: str) -> None:
    db = connect(tmp_path)
    migrate(db)
    db.conn.execute("INSERT INTO projects (id, name, created_at) VALUES ('proj_a', 'a', 1)")
    db.conn.execute("INSERT INTO tenants (project_id, mode) VALUES ('proj_a', 'test')")
    db.conn.execute(
        "INSERT INTO devices (id, tenant_n, serial_number, connection, grant_alg, metadata, settings, heartbeat_sec, "
        "created_at, updated_at) VALUES ('dev_a', 1, 's', '[]', 'EdDSA', '{}', '{}', 60, 1, 1)"
    )
    db.conn.execute(
        "INSERT INTO commands (id, tenant_n, device_id, generation, seq, type, status, params, created_at, expires_at) "
        "VALUES ('cmd_a', 1, 'dev_a', 1, 1, 'start_recording', 'pending', '{}', 1, 1000)"
    )
    with pytest.raises(apsw.ConstraintError):
        db.conn.execute(sql)
    db.conn.close()
