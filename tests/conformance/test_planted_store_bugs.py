"""Promises of the store, broken on purpose: the suite must notice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from _pytest.outcomes import Failed

from rolltape.codes import Problem
from rolltape.domain import lifecycle
from rolltape.store.database import drive, queries
from rolltape.store.operations import bindings, expiry, moves, states
from rolltape.store.sqlite import flush, writer
from rolltape.store.sqlite.connections import SqliteConnections
from rolltape.store.sqlite.lulls import Lulls
from rolltape.store.sqlite.store import SqliteStore
from rolltape.store.stored import Stored
from tests.conformance.test_sqlite_store import SqliteSuite as Suite

Patch = pytest.MonkeyPatch
NOTICED = (AssertionError, Failed, Problem)


def _event_after_the_commit(patch: Patch) -> None:
    """The change is committed by itself, and its event in a transaction of its own."""

    async def wrong(db: Any, *facts: Any, **named: Any) -> None:
        db.conn.execute("COMMIT")
        db.conn.execute("BEGIN IMMEDIATE")
        await append(db, *facts, **named)

    append = moves.append_event
    patch.setattr(moves, "append_event", wrong)


def _half_a_batch_is_kept(patch: Patch) -> None:
    """An operation that raises after it has written is answered, and what it wrote is committed with the rest."""

    def wrong(db: Any, job: Any) -> Any:
        try:
            return job, drive(job.op(db, *job.args)), None
        except Exception as error:
            return job, None, error

    patch.setattr(writer, "_attempt", wrong)


def _one_spoils_all(patch: Patch) -> None:
    """When one operation fails, the whole batch is told so."""

    def wrong(self: writer.Writer, job: Any) -> Any:
        return job, None, RuntimeError("somebody else's fault")

    patch.setattr(writer.Writer, "_commit_alone", wrong)


def _nothing_settles(patch: Patch) -> None:
    async def wrong(self: SqliteConnections, now: int) -> None:
        """Expires nothing."""

    patch.setattr(SqliteConnections, "settle", wrong)


def _a_binding_ends_amid_expiry(patch: Patch) -> None:
    """A reset that expires cancels commands that the same batch is still going to expire."""

    async def wrong(db: Any, row: Any, now: int) -> None:
        await expire(db, row, now)
        if lifecycle.ends_binding_on_expiry(row.type, row.status):
            await bindings.end_generation(db, row.device_id, row.generation, now)

    expire = expiry._expire
    patch.setattr(expiry, "_expire", wrong)


def _nobody_hears(patch: Patch) -> None:
    """A command moves, and its device is not told of."""
    patch.setattr(writer, "_news", lambda db: ([], [], []))


def _a_lull_lasts(patch: Patch) -> None:
    """What is known of a device for which nothing waits isn't forgotten when it has a new command."""
    patch.setattr(Lulls, "ended", lambda self, device_id: None)


def _a_lull_ends_with_the_answer(patch: Patch) -> None:
    """It is forgotten by whoever created the command; who goes away before doesn't come to that."""

    async def wrong(self: SqliteStore, new: Any, now: int) -> Any:
        created = await create(self, new, now)
        ended(self._lulls, new.device_id)
        return created

    create, ended = SqliteStore.create_command, Lulls.ended
    patch.setattr(SqliteStore, "create_command", wrong)
    patch.setattr(Lulls, "ended", lambda self, device_id: None)


def _one_look_will_do(patch: Patch) -> None:
    """Where all that were looked at have been heard, nobody looks at those behind them."""

    async def wrong(self: Stored, now: int, limit: int) -> int:
        await self._states.flush()
        return (await self._at.write(states.sweep, now, limit))[0]

    patch.setattr(Stored, "mark_offline", wrong)


def _sql(aggregate: str, name: str, old: str, new: str) -> Callable[[Patch], None]:
    def plant(patch: Patch) -> None:
        text = queries(aggregate)[name]
        assert old in text, f"the query {name} no longer says {old!r}: plant the bug anew"
        patch.setitem(cast(dict[str, str], queries(aggregate)), name, text.replace(old, new))

    return plant


def _own(name: str, old: str, new: str) -> Callable[[Patch], None]:
    """A query of the batches of states, which SQLite has in its own words."""

    def plant(patch: Patch) -> None:
        assert old in flush._Q[name], f"the query {name} no longer says {old!r}: plant the bug anew"
        patch.setitem(flush._Q, name, flush._Q[name].replace(old, new))

    return plant


PLANTS: tuple[tuple[Callable[[Patch], None], Callable[[Suite, Path], None]], ...] = (
    (_event_after_the_commit, Suite.test_a_creation_that_fails_half_way_has_done_nothing),
    (_half_a_batch_is_kept, Suite.test_a_creation_that_fails_half_way_has_done_nothing),
    (_one_spoils_all, Suite.test_a_creation_that_fails_half_way_has_done_nothing),
    (_nothing_settles, Suite.test_a_list_shows_none_open_past_its_time),
    (_nothing_settles, Suite.test_counts_and_history_know_it_too),
    (_nothing_settles, Suite.test_an_unbind_finds_expired_what_was_due),
    (_nothing_settles, Suite.test_a_reset_is_not_answered_with_one_that_is_due),
    (_a_binding_ends_amid_expiry, Suite.test_a_reset_and_a_later_command_that_are_both_overdue_expire_both),
    (
        _sql("commands", "offerable", "AND :now", "AND 9e15"),
        Suite.test_a_clock_that_was_set_back_holds_no_offer_back,
    ),
    (
        _sql("commands", "mint_seq", "last_seq + 1", "last_seq"),
        Suite.test_many_at_once_have_each_their_own_seq,
    ),
    (
        _sql("commands", "by_idempotency_key", "AND generation = ?", "AND ? IS NOT NULL"),
        Suite.test_a_key_belongs_to_its_binding_and_is_honoured_after_it,
    ),
    (
        _sql("bindings", "end_binding", "AND generation = ?", "AND ? IS NOT NULL"),
        Suite.test_a_reset_that_was_obeyed_ends_its_own_binding_and_never_a_later_one,
    ),
    (
        _sql("bindings", "replace_older_tokens", "AND n < ?", "AND n <> ?"),
        Suite.test_an_old_token_works_until_a_newer_one_is_first_used,
    ),
    (
        _sql("commands", "offer", "max(coalesce(relay_grants_until, 0), :grants_until)", ":grants_until"),
        Suite.test_the_greatest_end_of_a_relays_grants_is_kept,
    ),
    (
        _sql("relays", "closed", "AND e.previous_status IN ('pending', 'delivered')", ""),
        Suite.test_what_a_relay_was_offered_is_told_once_when_it_is_closed,
    ),
    (
        _sql("relays", "closed", "AND c.offered_routes & :relay_bit", "AND :relay_bit"),
        Suite.test_what_a_relay_was_offered_is_told_once_when_it_is_closed,
    ),
    (
        _sql("relays", "closed", "AND d.n < e.n", "AND d.n > e.n"),
        Suite.test_what_the_device_took_itself_is_told_once_and_what_a_relay_brought_when_it_ends,
    ),
    (
        _sql("relays", "closed", "AND h.generation = c.generation", ""),
        Suite.test_what_an_unbind_closes_is_told_to_the_relay_of_that_user_alone,
    ),
    (
        _sql("relays", "generations", "AND end_user_id = ?", "AND ? IS NOT NULL"),
        Suite.test_another_users_bindings_are_out_of_a_relays_reach,
    ),
    (
        _sql("relays", "news", "'device.bound'", "'device.bound', 'command.offered'"),
        Suite.test_a_new_command_is_news_of_its_device_and_an_offer_is_none,
    ),
    (
        _sql("relays", "count_receipt", "counter < excluded.counter", "counter <= excluded.counter"),
        Suite.test_a_receipts_counter_only_grows_in_each_binding,
    ),
    (
        _sql("relays", "claims_of", "WHERE command_id = ?", "WHERE command_id <> ?"),
        Suite.test_claims_do_not_fill_the_disk,
    ),
    (_a_lull_lasts, Suite.test_a_look_at_what_waits_finds_pending_commands_alone),
    (_a_lull_ends_with_the_answer, Suite.test_what_a_caller_created_who_went_away_waits_all_the_same),
    (_nobody_hears, Suite.test_whatever_moves_a_command_its_device_is_told_of),
    (_nobody_hears, Suite.test_a_reset_that_expires_tells_of_its_device),
    (
        _sql("commands", "move", "route = ?", "route = coalesce(route, ?)"),
        Suite.test_the_route_of_the_first_acknowledgement_stays,
    ),
    (
        _sql("commands", "offerable", "AND id NOT IN (SELECT value FROM json_each(:but))", "AND :but IS NOT NULL"),
        Suite.test_what_is_in_hand_is_left_out_and_the_rest_moves_up,
    ),
    (
        _sql("retention", "aged_commands", "reported_at > expires_at", "reported_at IS NULL"),
        Suite.test_a_report_that_came_late_counts_anew,
    ),
    (
        _sql("retention", "aged_commands", "status NOT IN ('pending', 'delivered')", "true"),
        Suite.test_an_open_command_never_goes,
    ),
    (
        _sql("retention", "aged_commands", "expires_at END <= ?", "expires_at END < ?"),
        Suite.test_what_was_closed_early_stays_until_no_grant_of_it_can_start_anything,
    ),
    (
        _sql(
            "retention", "aged_commands", "reported_at ELSE expires_at END <= ?", "reported_at ELSE created_at END <= ?"
        ),
        Suite.test_what_was_closed_early_stays_until_no_grant_of_it_can_start_anything,
    ),
    (
        _sql("retention", "aged_commands", "ORDER BY CASE", "ORDER BY -CASE"),
        Suite.test_they_go_in_batches_the_oldest_first,
    ),
    (
        _sql("retention", "delete_history", "IN (", "NOT IN ("),
        Suite.test_an_expired_command_goes_with_its_history_when_its_time_is_so_long_over,
    ),
    (_sql("retention", "delete_claims", "IN (", "NOT IN ("), Suite.test_what_relays_claimed_goes_with_its_command),
    (
        _sql("retention", "delete_events", "command_id IS NULL", "true"),
        Suite.test_events_of_no_command_go_by_their_own_age,
    ),
    (
        _sql("retention", "delete_tokens", "ended_at <= ?", "coalesce(ended_at, 0) <= ?"),
        Suite.test_tokens_go_when_their_binding_is_so_long_over,
    ),
    (
        _sql(
            "relays", "last_event", "max(seq), 0) FROM sqlite_sequence WHERE name = 'events'", "max(n), 0) FROM events"
        ),
        Suite.test_no_number_comes_twice_when_all_before_has_gone,
    ),
    (
        _sql("recordings", "binding_at", "bound_at <= :began", "true"),
        Suite.test_a_recording_of_a_command_that_has_gone_is_taken_for_who_was_bound_when_it_began,
    ),
    (
        _sql("states", "check_later", "= online_until", "= online_until + 1"),
        Suite.test_a_device_that_was_heard_again_and_again_is_told_offline_once_and_on_time,
    ),
    (
        _own("came_online", "online_check_at = online_until", "online_check_at = 9e15"),
        Suite.test_a_device_that_was_heard_again_and_again_is_told_offline_once_and_on_time,
    ),
    (
        _own("update", "THEN min(?2, online_check_at)", "THEN online_check_at"),
        Suite.test_a_device_is_told_offline_by_the_clock_that_was_set_back,
    ),
    (
        _one_look_will_do,
        Suite.test_those_that_were_heard_hold_up_none_that_is_gone,
    ),
    (_sql("commands", "list", "n < ?", "n <= ?"), Suite.test_pages_of_commands_are_stable_while_commands_are_added),
)


@pytest.mark.parametrize(("plant", "promise"), PLANTS, ids=lambda each: each.__name__.strip("_"))
def test_a_planted_bug_is_noticed(
    tmp_path: Path, monkeypatch: Patch, plant: Callable[[Patch], None], promise: Callable[[Suite, Path], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(NOTICED):
        promise(Suite(), tmp_path)


def test_a_token_reuse_that_is_told_each_time_is_noticed(tmp_path: Path, monkeypatch: Patch) -> None:
    _sql("bindings", "note_reuse", "AND reused_at IS NULL", "")(monkeypatch)
    with pytest.raises(AssertionError):
        Suite().test_a_token_that_comes_again_is_one_event(tmp_path)
