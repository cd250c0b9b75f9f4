"""Promises of the PostgreSQL store, broken on purpose where it has words of its own: the tests must notice."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from _pytest.outcomes import Failed

from rolltape.codes import Problem
from rolltape.store.database import Query, own_queries
from rolltape.store.postgres import creates, flush, landings, position, rounds, unit
from rolltape.store.postgres.connections import PgConnections
from rolltape.store.postgres.database import PACKAGE, PgDb
from tests.conformance import test_postgres_nodes as nodes
from tests.conformance import test_postgres_retention as ageing
from tests.conformance.test_postgres_store import PgSuite

Patch = pytest.MonkeyPatch
NOTICED = (AssertionError, Failed, Problem, KeyError, TimeoutError)
EVENTS_GO = "test_events_of_no_command_go_by_their_own_age"
TOKENS_GO = "test_tokens_go_when_their_binding_is_so_long_over"
Promise = Callable[[Path], None]


def promise(name: str) -> Promise:
    """A test of the suite, by its name."""
    found: Promise = getattr(PgSuite(), name)
    return found


def words(name: str, old: str, new: str) -> Callable[[Patch], None]:
    """A query of operations that PostgreSQL has in its own words."""

    def plant(patch: Patch) -> None:
        queries = cast(dict[str, Query], own_queries(PACKAGE))
        assert old in queries[name], f"the query {name} no longer says {old!r}: plant the bug anew"
        patch.setitem(queries, name, Query(queries[name].replace(old, new)))

    return plant


def of_rounds(name: str, old: str, new: str) -> Callable[[Patch], None]:
    """A query of rounds."""

    def plant(patch: Patch) -> None:
        assert old in unit.Q[name], f"the query {name} no longer says {old!r}: plant the bug anew"
        patch.setitem(unit.Q, name, unit.Q[name].replace(old, new))

    return plant


def of_batches(old: str, new: str) -> Callable[[Patch], None]:
    """The statement that writes what devices said of themselves."""

    def plant(patch: Patch) -> None:
        assert old in flush._Q["update"], f"it no longer says {old!r}: plant the bug anew"
        patch.setitem(flush._Q, "update", flush._Q["update"].replace(old, new))

    return plant


def _operations_hold_nothing(patch: Patch) -> None:
    async def wrong(self: PgDb, device_ids: Any, /) -> None:
        """Takes hold of nothing."""

    patch.setattr(PgDb, "hold", wrong)


def _no_transaction(patch: Patch) -> None:
    """Each statement is committed by itself."""

    async def wrong(self: PgConnections, db: PgDb, work: Any) -> Any:
        return await work()

    patch.setattr(PgConnections, "commit", wrong)


def _one_spoils_all(patch: Patch) -> None:
    async def wrong(self: rounds.Rounds, job: Any) -> None:
        job.fail(RuntimeError("somebody else's fault"))

    patch.setattr(rounds.Rounds, "_alone", wrong)


def _nothing_settles(patch: Patch) -> None:
    async def wrong(self: PgConnections, now: int, *, sure: bool = False) -> None:
        """Expires nothing."""

    patch.setattr(PgConnections, "settle", wrong)


def _trusts_for_ever(patch: Patch) -> None:
    patch.setattr("rolltape.store.outlook.TRUSTED_MS", 10**9)


def _company_is_never_refused(patch: Patch) -> None:
    """Two with one key share a round."""
    patch.setattr(rounds, "_joins", lambda job, kinds: True)


def _due_goes_unseen(patch: Patch) -> None:
    patch.setattr("rolltape.store.postgres.offerings.is_due", lambda row, now: False)


def _follows_nothing(patch: Patch) -> None:
    patch.setattr(landings, "_follow", lambda *facts: None)


def _room_for_all(patch: Patch) -> None:
    patch.setattr(creates, "_check_room", lambda *facts: None)


def _takes_what_others_hold(patch: Patch) -> None:
    """What has aged goes although somebody is at work on its device."""

    async def wrong(self: PgDb, device_ids: Any, /) -> set[str]:
        return set(device_ids)

    patch.setattr(PgDb, "hold_free", wrong)


def _the_last_number_will_do(patch: Patch) -> None:
    async def wrong(db: PgDb) -> int:
        found: int = await db.conn.fetchval("SELECT max(n) FROM events")
        return found

    patch.setattr(position, "_safe", wrong)


HEARD = "test_a_device_that_was_heard_again_and_again_is_told_offline_once_and_on_time"
SET_BACK = "test_a_device_is_told_offline_by_the_clock_that_was_set_back"

PLANTS: tuple[tuple[Callable[[Patch], None], Promise], ...] = (
    (
        of_rounds("create_at_once", "b.last_seq = a.was", "true"),
        nodes.test_each_command_has_its_own_seq_and_the_order_of_its_numbers,
    ),
    (
        of_rounds("create_at_once", "n / (", "n + ("),
        nodes.test_each_command_has_its_own_seq_and_the_order_of_its_numbers,
    ),
    (_operations_hold_nothing, nodes.test_each_command_expires_once_whoever_notices),
    (_no_transaction, nodes.test_each_stop_has_its_own_seq_and_leaves_none_open_before_it),
    (_one_spoils_all, nodes.test_a_write_that_the_database_refuses_spoils_no_other_of_its_round),
    (_nothing_settles, promise("test_a_list_shows_none_open_past_its_time")),
    (_nothing_settles, promise("test_an_unbind_finds_expired_what_was_due")),
    (_trusts_for_ever, nodes.test_what_the_other_node_made_is_never_shown_open_past_its_time),
    (_due_goes_unseen, nodes.test_no_go_is_given_past_the_time_even_where_the_node_trusts_its_last_look),
    (_company_is_never_refused, promise("test_two_at_once_with_one_key_make_one_command")),
    (_room_for_all, nodes.test_a_queue_is_full_on_both),
    (_the_last_number_will_do, nodes.test_a_position_leaves_no_event_behind_that_is_still_to_come),
    (_takes_what_others_hold, ageing.test_a_device_that_somebody_holds_is_left_for_the_next_time),
    (
        words("retention.delete_history", "command_id = ANY", "command_id <> ANY"),
        promise("test_an_expired_command_goes_with_its_history_when_its_time_is_so_long_over"),
    ),
    (words("retention.delete_events", "created_at <= ?", "created_at < ?"), promise(EVENTS_GO)),
    (words("retention.delete_tokens", "ended_at <= ?", "ended_at < ?"), promise(TOKENS_GO)),
    (_follows_nothing, promise("test_a_device_that_records_or_has_a_stop_open_is_only_unbound_by_force")),
    (of_rounds("offerable", "AND a.now", "AND 9e15"), promise("test_a_clock_that_was_set_back_holds_no_offer_back")),
    (
        of_rounds("offerable", "w.generation = a.generation", "true"),
        promise("test_only_the_device_and_binding_that_ask_are_offered_to"),
    ),
    (
        of_rounds("before_creation_at_once", "k.generation = b.generation", "true"),
        promise("test_a_key_belongs_to_its_binding_and_is_honoured_after_it"),
    ),
    (
        of_rounds("write", "greatest(c.relay_grants_until, a.grants_until)", "a.grants_until"),
        promise("test_the_greatest_end_of_a_relays_grants_is_kept"),
    ),
    (
        of_batches("ELSE s.online_check_at END", "ELSE a.online_until END"),
        nodes.test_heartbeats_of_devices_that_are_online_touch_no_index,
    ),
    (of_batches("least(a.online_until, s.online_check_at)", "s.online_check_at"), promise(SET_BACK)),
    (words("states.check_later", "= s.online_until", "= s.online_until + 1"), promise(HEARD)),
    (
        words("bindings.end_user_exists", "FOR KEY SHARE", ""),
        nodes.test_no_device_stays_bound_to_an_end_user_who_is_deleted_meanwhile,
    ),
)


@pytest.mark.parametrize(("plant", "broken"), PLANTS)
def test_a_planted_bug_is_noticed(
    tmp_path: Path, monkeypatch: Patch, plant: Callable[[Patch], None], broken: Promise
) -> None:
    plant(monkeypatch)
    for n in range(50):  # what two nodes do at once shows sooner or later
        with suppress(*NOTICED):
            broken(tmp_path / str(n))
            continue
        return
    pytest.fail("nobody noticed")
