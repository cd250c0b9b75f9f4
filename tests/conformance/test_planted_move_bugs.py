"""What moving a folder stands on, broken on purpose: its tests must notice."""

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from _pytest.outcomes import Failed

from rolltape.codes import Problem
from rolltape.store.postgres.database import PgDb
from rolltape.store.transfer import comparing, marks
from rolltape.store.transfer.tables import Content, Table
from rolltape.wiring import databases, migrate_store
from rolltape.wiring.migrate_store import CantMigrate
from tests.conformance import test_migrate_store as moving
from tests.conformance.test_migrate_store import Move, filled, move

__all__ = ["filled", "move"]  # fixtures
Patch = pytest.MonkeyPatch
NOTICED = (AssertionError, Failed, Problem, CantMigrate, asyncpg.PostgresError)


async def _nothing(*facts: Any) -> None:
    """Does nothing."""


def _numbers_begin_anew(patch: Patch) -> None:
    patch.setattr(migrate_store, "follow_numbers", _nothing)


def _only_numbers_that_are_there_count(patch: Patch) -> None:
    async def wrong(file: Any, pg: PgDb, tables: list[Table]) -> None:
        for table in tables:
            if table.numbered:
                text = "SELECT setval(pg_get_serial_sequence($1, 'n'), greatest(1, (SELECT max(n) FROM {})))"
                await pg.conn.execute(text.format(table.name), table.name)

    patch.setattr(migrate_store, "follow_numbers", wrong)


def _the_note_is_lost(patch: Patch) -> None:
    """Rows are there, and the next try doesn't know."""
    patch.setattr(marks, "set_copied", _nothing)


def _what_is_noted_is_not_there(patch: Patch) -> None:
    """The note is of rows that didn't come with it."""

    async def wrong(db: PgDb, table: str, now: marks.Copied) -> None:
        await note(db, table, now)
        if table == "devices":
            await db.conn.execute("DELETE FROM devices")

    note = marks.set_copied
    patch.setattr(marks, "set_copied", wrong)


def _all_hashes_are_one(patch: Patch) -> None:
    patch.setattr(Content, "__eq__", lambda self, other: self.rows == other.rows)


def _counts_do_not_count(patch: Patch) -> None:
    async def wrong(file: Any, pg: Any, table: Any, heard: Any) -> Any:
        here, _ = await contents(file, pg, table, heard)
        return here, here

    contents = comparing.contents
    patch.setattr(migrate_store, "contents", wrong)


def _the_folder_is_served_all_the_same(patch: Patch) -> None:
    patch.setattr(databases, "refuse_moved", _nothing)


def _the_half_is_served(patch: Patch) -> None:
    patch.setattr(databases, "refuse_unfinished", _nothing)


def _what_was_given_up_is_gone_on_with(patch: Patch) -> None:
    patch.setattr(migrate_store, "_make_room", _nothing)


PLANTS: tuple[tuple[Callable[[Patch], None], Callable[[Move], None]], ...] = (
    (_numbers_begin_anew, moving.test_what_comes_next_goes_on_where_the_file_was),
    (_only_numbers_that_are_there_count, moving.test_what_comes_next_goes_on_where_the_file_was),
    (_the_note_is_lost, moving.test_it_can_be_broken_off_anywhere_and_begun_again),
    (_what_is_noted_is_not_there, moving.test_it_can_be_broken_off_anywhere_and_begun_again),
    (_all_hashes_are_one, moving.test_a_difference_is_found_whatever_it_is_and_nothing_is_switched_over),
    (_counts_do_not_count, moving.test_a_difference_is_found_whatever_it_is_and_nothing_is_switched_over),
    (
        _the_folder_is_served_all_the_same,
        moving.test_a_folder_that_is_being_moved_is_not_served_and_neither_is_the_half_that_is_there,
    ),
    (_the_folder_is_served_all_the_same, moving.test_a_folder_that_was_moved_is_not_served_again_by_accident),
    (
        _the_half_is_served,
        moving.test_a_folder_that_is_being_moved_is_not_served_and_neither_is_the_half_that_is_there,
    ),
    (_what_was_given_up_is_gone_on_with, moving.test_a_move_that_was_given_up_begins_from_the_beginning),
)


@pytest.mark.parametrize(("plant", "promise"), PLANTS, ids=lambda each: each.__name__.strip("_"))
def test_a_planted_bug_is_noticed(
    move: Move, monkeypatch: Patch, plant: Callable[[Patch], None], promise: Callable[[Move], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(NOTICED):
        promise(move)
