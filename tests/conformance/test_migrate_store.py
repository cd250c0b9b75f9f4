"""A data folder moves into PostgreSQL: all of it, once, whatever breaks off in between, and nowhere but there."""

import asyncio
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rolltape.cli.main import app
from rolltape.config import Settings
from rolltape.service.vault import BrokenKey
from rolltape.store.database import SCHEMA_VERSION_KEY
from rolltape.store.operations import accounts
from rolltape.store.postgres.store import PgStore
from rolltape.store.sqlite.database import connect
from rolltape.store.transfer import copying
from rolltape.store.transfer.tables import Content, tables_of
from rolltape.testing.store_suite import House, Ready
from rolltape.testing.store_suite.house import NOW
from rolltape.wiring import admin_create_key, admin_doctor, admin_migrate_store, admin_undo_migration, migrate_store
from rolltape.wiring.admin import NoDatabase
from rolltape.wiring.backup import GENERATIONS_SKIPPED, SEQ_SKIPPED
from rolltape.wiring.build import MASTER_KEY_NAME, Occupied, place_of
from rolltape.wiring.databases import open_database, open_db
from rolltape.wiring.migrate_store import CantMigrate
from tests.conformance.moving import fill, rows
from tests.postgres import url_of

CHUNK = 4


@dataclass
class Move:
    """A folder, and the URL of an empty database."""

    data: Path
    url: str

    def go(self, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        return admin_migrate_store(self.data, progress, CHUNK)

    def break_off_when(self, when: Callable[[int, int], bool]) -> None:
        """Begins, and is broken off there."""

        def heard(done: int, total: int) -> None:
            if when(done, total):
                raise PowerCut

        with pytest.raises(PowerCut):
            self.go(heard)

    def file(self, sql: str) -> list[tuple[Any, ...]]:
        """What the folder's database has, or is made to have."""
        db = connect(self.data)
        try:
            return db.rows(sql)
        finally:
            db.conn.close()

    def there(self, sql: str) -> list[tuple[Any, ...]]:
        """The same of PostgreSQL."""
        return rows(self.url, sql)

    def finds_all_of_it(self) -> None:
        """Whether each row of the file is there, and no other."""
        db = connect(self.data)
        for table in tables_of(db):
            mine = table.as_postgres_has(db.rows(table.select))
            assert sorted(self.there(table.select), key=repr) == sorted(mine, key=repr), table.name
        db.conn.close()


class PowerCut(BaseException):
    """All ends here and now."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "data"
    fill(folder)
    return folder


@pytest.fixture
def move(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Move:
    shutil.copytree(filled, tmp_path / "data")
    url = asyncio.run(url_of(tmp_path))
    monkeypatch.setenv("ROLLTAPE_DATABASE", url)
    return Move(tmp_path / "data", url)


def test_every_row_is_there_and_told_of(move: Move) -> None:
    heard: list[tuple[int, int]] = []
    told = move.go(lambda done, total: heard.append((done, total)))
    move.finds_all_of_it()
    (iss,) = move.file("SELECT value FROM meta WHERE key = 'iss'")
    assert move.there("SELECT value FROM meta WHERE key = 'iss'") == [iss]
    assert told["rows"] == sum(one["rows"] for one in told["tables"].values())
    assert len({one["sha256"] for one in told["tables"].values()}) == len(told["tables"])
    assert heard[-1] == (2 * told["rows"], 2 * told["rows"])
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert move.there("SELECT key FROM meta WHERE key LIKE '%being_moved%' OR key LIKE 'moved_here.%'") == []


def test_what_comes_next_goes_on_where_the_file_was(move: Move) -> None:
    ((device, seq, generation),) = move.file(
        "SELECT device_id, last_seq, generation FROM device_bindings ORDER BY last_seq DESC LIMIT 1"
    )
    given = dict(move.file("SELECT name, seq FROM sqlite_sequence"))
    assert given["events"] > move.file("SELECT max(n) FROM events")[0][0]
    move.go()

    async def run() -> None:
        store = await PgStore.open(move.url)
        try:
            at = House(Ready(store, 1, 2, "", []))
            assert await store.relay_position(NOW) == given["events"]
            assert (await at.created(device, key="k3", params='{"metadata":{"room":"\\u0000"}}')).replayed
            row = await at.create(device, key="new")
            assert (row.seq, row.generation) == (seq + 1, generation)
            assert row.n == given["commands"] + 1
        finally:
            await store.close()

    asyncio.run(run())


def test_it_can_be_broken_off_anywhere_and_begun_again(move: Move) -> None:
    """At each moment that anybody hears of, in turn: what was copied before is not copied again, nor lost."""
    heard: list[int] = []
    for call in range(10_000):
        heard.clear()

        def cut(done: int, total: int, call: int = call) -> None:
            heard.append(done)
            if len(heard) > call:
                raise PowerCut

        with suppress(PowerCut):
            told = move.go(cut)
            break
    assert call > 30, "it was never broken off"
    assert told["rows"] > 60
    move.finds_all_of_it()


TAMPERINGS = (
    ("UPDATE commands SET seq = seq + 1 WHERE n = 1", "UPDATE commands SET seq = seq - 1 WHERE n = 1", "commands"),
    ("UPDATE events SET data = data || ' ' WHERE n = 2", "UPDATE events SET data = rtrim(data) WHERE n = 2", "events"),
    ("UPDATE api_keys SET hash = hash || '\\x00'", "UPDATE api_keys SET hash = substr(hash, 1, 32)", "api_keys"),
    (
        "UPDATE device_states SET storage_used_mb = 7.5 WHERE storage_used_mb = 7",
        "UPDATE device_states SET storage_used_mb = 7 WHERE storage_used_mb = 7.5",
        "device_states",
    ),
    (
        "INSERT INTO media_to_delete VALUES ('x', 1)",
        "DELETE FROM media_to_delete WHERE media_id = 'x'",
        "media_to_delete",
    ),
    (
        "UPDATE binding_history SET ended_at = NULL, secret_sealed = secret_sealed || 'x' WHERE ended_at IS NOT NULL",
        f"UPDATE binding_history SET ended_at = {NOW}, secret_sealed = 'sealed by nobody' "
        "WHERE secret_sealed LIKE '%x'",
        "binding_history",
    ),
    ("DELETE FROM claims", None, "claims"),
)


def test_a_difference_is_found_whatever_it_is_and_nothing_is_switched_over(move: Move) -> None:
    move.break_off_when(lambda done, total: 2 * done == total)  # copied, not compared yet
    for tampering, mending, table in TAMPERINGS:
        move.there(tampering)
        with pytest.raises(CantMigrate, match=f"differs from the original in {table}"):
            move.go()
        assert move.there("SELECT 1 FROM meta WHERE key = 'iss'") == []
        if mending is not None:
            move.there(mending)


def test_a_copy_that_leaves_a_row_out_is_noticed(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    def skipping(file: Any, table: Any, at: Any, limit: int) -> Any:
        found = after(file, table, at, limit)
        return found[1:] if table.name == "events" and at.after is not None else found

    after = copying._after
    monkeypatch.setattr(copying, "_after", skipping)
    with pytest.raises(CantMigrate, match="differs from the original in"):
        move.go()


def test_a_folder_that_is_being_moved_is_not_served_and_neither_is_the_half_that_is_there(move: Move) -> None:
    move.break_off_when(lambda done, total: 2 * done == total)
    with pytest.raises(ValueError, match=r"isn't finished\. Go on: rolltape migrate-store"):
        open_database(move.data)
    with pytest.raises(ValueError, match=r"isn't finished\. Go on with rolltape migrate-store"):
        admin_create_key(move.data, "test", None, None, None)
    found = admin_doctor(move.data, {"ROLLTAPE_DATABASE": move.url})
    assert any(one.level == "error" and "isn't finished" in one.what for one in found)
    assert move.there("SELECT 1 FROM meta WHERE key IN ('iss', 'master_key_check')") == []
    move.go()
    move.finds_all_of_it()


def test_a_folder_that_was_moved_is_not_served_again_by_accident(move: Move) -> None:
    move.go()
    with pytest.raises(ValueError, match=r"was moved to PostgreSQL .* set ROLLTAPE_DATABASE"):
        open_database(move.data)
    found = admin_doctor(move.data, {})
    assert any(one.level == "error" and "lives in PostgreSQL" in one.what for one in found)

    async def opens() -> str | None:
        async with open_db(Settings(data=move.data, database=move.url)) as db:
            return await accounts.meta(db, "iss")

    assert asyncio.run(opens()) is not None
    before = move.file("SELECT count(*) FROM meta")
    assert move.go()["finished_before"]
    assert move.file("SELECT count(*) FROM meta") == before


def test_killed_between_its_last_two_writes_it_knows_that_all_is_there(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(*facts: Any) -> None:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(migrate_store, "_say_done", cut)
        with pytest.raises(PowerCut):
            move.go()
    move.there("UPDATE device_bindings SET last_seq = last_seq + 1")  # it is served already, and goes on
    assert move.go()["finished_before"]
    with pytest.raises(ValueError, match="was moved"):
        open_database(move.data)


def test_who_goes_back_gets_numbers_that_were_never_used(move: Move, tmp_path: Path) -> None:
    bindings = "SELECT device_id, last_seq, generation_floor - generation FROM device_bindings ORDER BY 1"
    before = move.file(bindings)
    move.go()
    admin_undo_migration(move.data)
    open_database(move.data).conn.close()
    assert move.file(bindings) == [(id_, seq + SEQ_SKIPPED, GENERATIONS_SKIPPED) for id_, seq, _ in before]
    with pytest.raises(CantMigrate, match="nothing to undo"):
        admin_undo_migration(move.data)
    with pytest.raises(CantMigrate, match="this deployment's data already"):
        move.go()


def test_a_move_that_was_given_up_begins_from_the_beginning(move: Move) -> None:
    move.break_off_when(lambda done, total: 2 * done == total)
    admin_undo_migration(move.data)
    move.file("DELETE FROM recordings_deleted")  # the server goes on, and things change
    move.go()
    move.finds_all_of_it()


def test_it_goes_on_nowhere_but_where_it_began(move: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    move.break_off_when(lambda done, total: done > 20)
    (told,) = move.file("SELECT value FROM meta WHERE key = 'moved_to'")
    assert "password" not in told[0]
    move.file("UPDATE meta SET value = replace(value, 'local/', 'elsewhere/') WHERE key = 'moved_to'")
    with pytest.raises(CantMigrate, match="elsewhere/"):
        move.go()


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ("INSERT INTO meta VALUES ('iss', '0123456789abcdef')", "another deployment's data .iss 0123456789abcdef"),
        ("INSERT INTO media_to_delete VALUES ('x', 1)", "has data already, in the table media_to_delete"),
        (
            """INSERT INTO meta VALUES ('being_moved_here', '{"attempt":"a","iss":"b"}')""",
            "Another deployment's data is being moved",
        ),
        (
            f"UPDATE meta SET value = '99' WHERE key = '{SCHEMA_VERSION_KEY}'",
            "PostgreSQL database was written by a newer",
        ),
        (f"UPDATE meta SET value = '1' WHERE key = '{SCHEMA_VERSION_KEY}'", "PostgreSQL database is of an older"),
    ],
)
def test_a_database_that_is_somebodys_is_left_alone(move: Move, there: str, why: str) -> None:
    async def schema() -> None:
        async with open_db(Settings(database=move.url)):
            pass

    asyncio.run(schema())
    move.there(there)
    with pytest.raises(CantMigrate, match=why):
        move.go()
    assert move.there("SELECT count(*) FROM devices") == [(0,)]
    open_database(move.data).conn.close()  # and the folder is served as before


@pytest.mark.parametrize(
    ("here", "why"),
    [
        (f"UPDATE meta SET value = '99' WHERE key = '{SCHEMA_VERSION_KEY}'", "in the folder was written by a newer"),
        (f"UPDATE meta SET value = '1' WHERE key = '{SCHEMA_VERSION_KEY}'", "start this one's server on it once"),
        ("DELETE FROM meta WHERE key = 'iss'", "No server ever ran"),
        ("UPDATE meta SET value = 'ff' WHERE key = 'master_key_check'", "is not the one of this database"),
    ],
)
def test_a_folder_that_is_not_ready_is_not_moved(move: Move, here: str, why: str) -> None:
    move.file(here)
    with pytest.raises(CantMigrate, match=why):
        move.go()
    assert move.file("SELECT 1 FROM meta WHERE key = 'moved_to'") == []


def test_a_folder_whose_server_runs_or_whose_key_is_gone_is_not_moved(
    move: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place_of(Settings(data=move.data)), pytest.raises(Occupied):
        move.go()
    (move.data / MASTER_KEY_NAME).rename(tmp_path / "elsewhere")
    with pytest.raises(BrokenKey, match="can't be read"):
        move.go()
    with pytest.raises(NoDatabase):
        admin_migrate_store(tmp_path)
    monkeypatch.delenv("ROLLTAPE_DATABASE")
    with pytest.raises(CantMigrate, match="Set ROLLTAPE_DATABASE"):
        move.go()


def test_a_database_that_is_not_there_is_said_so(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLTAPE_DATABASE", "postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(CantMigrate, match="can't be reached") as raised:
        move.go()
    assert "secret" not in str(raised.value)


def test_only_one_moves_a_folder_into_a_database(move: Move, filled: Path) -> None:
    def at_the_end(done: int, total: int) -> None:
        if done == total and not refusals:
            with ThreadPoolExecutor(1) as pool:
                refusals.append(pool.submit(admin_migrate_store, other).exception())

    refusals: list[BaseException | None] = []
    other = move.data.parent / "other"
    shutil.copytree(filled, other)
    move.go(at_the_end)
    (refusal,) = refusals
    assert isinstance(refusal, CantMigrate)
    assert "Somebody moves a folder" in str(refusal)


def test_the_hash_is_of_what_the_rows_are_and_not_of_their_order() -> None:
    mine, same, other = Content(), Content(), Content()
    mine.add([(1, "a", None, b"x"), (2, "b", 1.5, b"")])
    same.add([(2, "b", 1.5, b"")])
    same.add([(1, "a", None, b"x")])
    other.add([(1, "b", None, b"x"), (2, "a", 1.5, b"")])
    assert mine == same
    assert mine.hash == same.hash != other.hash
    twice = Content()
    twice.add([(1, "a", None, b"x")] * 2)
    assert twice != mine


def test_the_command_tells_people_what_it_did(move: Move) -> None:
    def said(*arguments: str) -> str:
        ended = CliRunner().invoke(app, ["migrate-store", "--data", str(move.data), *arguments])
        assert ended.exit_code == 0, ended.output
        return ended.output

    assert re.search(r"Copied and compared \d+ rows in 1\d tables\. Serve it with ROLLTAPE_DATABASE set\.", said())
    assert "All of it was moved before." in said()
    assert "can be served again. Unset ROLLTAPE_DATABASE." in said("--undo")
