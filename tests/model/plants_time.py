"""Bugs in the rules of time, order, events and ends (4 to 7)."""

from msgspec.structs import replace

from rolltape.delivery import relay
from rolltape.domain import lifecycle, views
from rolltape.store.operations import bindings, commands, events, expiry, offers, reports
from tests.model import planting, stories
from tests.model.planting import Plant

PLANTS = (
    Plant(4, "what is due at this very moment is not due yet", planting.due("<= ?", "< ?"), stories.listed_when_due),
    Plant(4, "expiry is a millisecond early", planting.a_millisecond_early, stories.a_millisecond_short),
    Plant(
        4,
        "a delivered command expires without a reason",
        planting.function(expiry, "move", planting.moved(error_code=None)),
        stories.expires_while_delivered,
    ),
    Plant(
        4,
        "a pending command expires with a reason",
        planting.function(expiry, "move", planting.moved(error_code="result_not_reported")),
        stories.expires_while_pending,
    ),
    Plant(
        4,
        "only pending commands expire",
        planting.due("'pending', 'delivered'", "'pending'"),
        stories.expires_while_delivered,
    ),
    Plant(4, "nothing is ever due", planting.nothing_is_due, stories.expires_while_pending),
    Plant(4, "an acknowledgement doesn't look at the time", planting.unseen(reports), stories.acknowledged_when_due),
    Plant(4, "a cancellation doesn't look at the time", planting.unseen(commands), stories.cancelled_when_due),
    Plant(4, "an offer doesn't look at the time", planting.unseen(offers), stories.offered_when_due),
    Plant(
        4,
        "expires_at isn't rounded up",
        planting.function(
            commands,
            "insert",
            lambda right: lambda db, new, g, now: right(db, replace(new, expires_at=new.expires_at + 1000), g, now),
        ),
        stories.offered_and_expired,
    ),
    Plant(
        4,
        "what a relay holds is thought to last as long as the command",
        planting.sql("offer", "max(coalesce(relay_grants_until, 0), :grants_until)", "expires_at"),
        stories.held_by_a_relay_that_falls_silent,
    ),
    Plant(
        4,
        "what a relay holds is thought to end a millisecond early",
        planting.function(
            views,
            "lifecycle",
            planting.earlier,
        ),
        stories.held_by_a_relay_that_falls_silent,
    ),
    Plant(
        4,
        "the first of a relay's grants is thought to be the last to end",
        planting.sql(
            "offer",
            "max(coalesce(relay_grants_until, 0), :grants_until)",
            "coalesce(relay_grants_until, :grants_until)",
        ),
        stories.held_by_a_relay_that_asks_again,
    ),
    Plant(
        4,
        "another route's grant is thought to end with a relay's",
        planting.function(views, "ROUTE_BITS", lambda bits: {**bits, "relay": 9}),
        stories.held_by_a_relay_and_offered_by_the_device_itself,
    ),
    Plant(
        4,
        "a backend that relays is thought to hold what ends soon",
        planting.sql("offer", "max(coalesce(relay_grants_until, 0), :grants_until)", ":grants_until"),
        stories.held_by_a_relay_and_a_backend_that_relays,
    ),
    Plant(
        4,
        "a relay's grant lasts as long as the command",
        planting.function(
            relay,
            "grants",
            planting.whole_grants,
        ),
        stories.held_by_a_relay_that_falls_silent,
    ),
    Plant(
        5,
        "a stop clears nothing",
        planting.function(lifecycle, "is_superseded_by_stop", lambda right: lambda t, s: False),
        stories.stop_clears_the_way,
    ),
    Plant(
        5,
        "a stop also cancels what is delivered",
        planting.lifecycle_move("SUPERSEDE", sources=("pending", "delivered")),
        stories.stop_spares_what_is_delivered,
    ),
    Plant(
        5,
        "a stop clears uploads too",
        planting.function(lifecycle, "is_superseded_by_stop", lambda right: lambda t, s: s == "pending"),
        stories.stop_clears_the_way,
    ),
    Plant(
        5,
        "superseded without saying so",
        planting.function(commands, "move", lambda move: lambda db, row, how, now, **c: move(db, row, how, now)),
        stories.stop_clears_the_way,
    ),
    Plant(
        5,
        "a seq is used twice",
        planting.sql("mint_seq", "last_seq + 1", "max(last_seq, 1)"),
        stories.stop_clears_the_way,
    ),
    Plant(
        5,
        "seq begins anew with a binding",
        planting.sql("bind", "generation = max(", "last_seq = 0, generation = max(", "bindings"),
        stories.seq_after_a_new_binding,
    ),
    Plant(
        5,
        "a stop goes in its turn",
        planting.sql("offerable", "WHEN 'stop_recording' THEN 1", "WHEN 'stop_recording' THEN 2"),
        stories.five_wait_and_a_stop_and_a_reset,
    ),
    Plant(
        5,
        "a reset goes in its turn",
        planting.sql("offerable", "WHEN 'factory_reset' THEN 0", "WHEN 'factory_reset' THEN 2"),
        stories.five_wait_and_a_stop_and_a_reset,
    ),
    Plant(
        5,
        "the newest goes first",
        planting.sql("offerable", "END, seq", "END, seq DESC"),
        stories.five_wait_and_a_stop_and_a_reset,
    ),
    Plant(
        6,
        "the first offer on a route is no event",
        planting.function(events, "append", planting.without_events("command.offered")),
        stories.offered_and_lost,
    ),
    Plant(
        6,
        "every offer is an event",
        planting.sql("offer", "offered_routes | :bit", "offered_routes & ~:bit"),
        stories.offered_and_lost,
    ),
    Plant(
        6,
        "a creation is no event",
        planting.function(events, "append", planting.without_events("command.created")),
        stories.offered_and_lost,
    ),
    Plant(
        6,
        "a cancellation is no event",
        planting.function(events, "append", planting.without_events("command.cancelled")),
        stories.cancelled_and_acknowledged,
    ),
    Plant(6, "a report is two events", planting.function(events, "append", planting.twice), stories.same_word_again),
    Plant(
        6,
        "a key that came before makes another command",
        planting.function(commands, "_replayed", lambda right: planting.nothing),
        stories.same_key_twice,
    ),
    Plant(
        6,
        "another request with a used key is taken for the same",
        planting.function(commands, "_replayed", planting.whatever_was_asked),
        stories.same_key_twice,
    ),
    Plant(
        7,
        "a delivered command never ends",
        planting.due("'pending', 'delivered'", "'pending'"),
        stories.vanished_for_ever,
    ),
    Plant(
        7,
        "a reset that isn't answered leaves the device bound",
        planting.function(lifecycle, "ends_binding_on_expiry", lambda right: lambda t, s: False),
        stories.reset_that_is_never_answered,
    ),
    Plant(
        7,
        "an old reset ends a later binding",
        planting.function(bindings, "end_generation", planting.reset_ends_any_binding),
        stories.reset_by_an_old_token,
    ),
    Plant(
        7,
        "an unbind leaves commands open",
        planting.function(bindings, "close_open", lambda right: planting.nothing_closed),
        stories.report_by_an_old_token,
    ),
    Plant(
        5,
        "a full queue refuses a stop",
        planting.function(
            commands,
            "_check_room",
            lambda right: lambda db, new, bound: right(db, replace(new, type="trigger_upload"), bound),
        ),
        stories.full_queue,
    ),
    Plant(
        5,
        "a queue takes one too many",
        planting.function(commands, "MAX_OPEN", lambda most: most + 1),
        stories.full_queue,
    ),
)
