"""Bugs in the rules of offers, acknowledgements and reports (1 to 3)."""

from rolltape.domain import lifecycle
from rolltape.store.operations import events, offers, reports
from tests.model import planting, stories
from tests.model.planting import Plant

PLANTS = (
    Plant(
        1,
        "an offer counts as a delivery",
        planting.function(offers, "_mark", planting.offer_delivers),
        stories.offered_and_lost,
    ),
    Plant(
        1,
        "what was offered once is not offered again",
        planting.sql("offerable", "'pending' AND", "'pending' AND offers = 0 AND"),
        stories.offered_and_lost,
    ),
    Plant(
        1,
        "offers are not counted",
        planting.sql("offer", "offers = offers + 1", "offers = 1"),
        stories.offered_and_lost,
    ),
    Plant(
        1,
        "an offer brings a cancelled command back",
        planting.sql("offerable", "status = 'pending'", "status IN ('pending', 'cancelled')"),
        stories.cancelled_beside_another,
    ),
    Plant(
        2,
        "a cancelled command gets a go",
        planting.function(
            lifecycle, "may_go", lambda right: lambda t, status, *rest: status == "cancelled" or right(t, status, *rest)
        ),
        stories.cancelled_and_acknowledged,
    ),
    Plant(
        2,
        "an expired command gets a go",
        planting.function(
            lifecycle, "may_go", lambda right: lambda t, status, *rest: status == "expired" or right(t, status, *rest)
        ),
        stories.acknowledged_when_due,
    ),
    Plant(
        2,
        "a start older than a stop gets a go",
        planting.function(
            lifecycle, "may_go", lambda right: lambda t, status, seq, last_stop_seq: right(t, status, seq, 0)
        ),
        stories.start_held_back_until_after_its_stop,
    ),
    Plant(
        2,
        "a go is given only once",
        planting.function(
            lifecycle, "may_go", lambda right: lambda t, status, *rest: status == "pending" and right(t, status, *rest)
        ),
        stories.acknowledged_twice,
    ),
    Plant(
        2,
        "a report without an acknowledgement leaves delivered_at empty",
        planting.function(
            reports,
            "move",
            lambda move: (
                lambda db, row, how, now, **c: move(
                    db,
                    row,
                    how,
                    now,
                    **{**c, "delivered_at": row.delivered_at if how is not lifecycle.ACKNOWLEDGE else now},
                )
            ),
        ),
        stories.same_word_again,
    ),
    Plant(
        2,
        "an old token still gets a go",
        planting.function(reports, "mine", lambda right: lambda db, t, d, c, generation: right(db, t, d, c, None)),
        stories.report_by_an_old_token,
    ),
    Plant(
        2,
        "what is delivered can be cancelled",
        planting.lifecycle_move("CANCEL", sources=("pending", "delivered")),
        stories.cancelled_after_delivery,
    ),
    Plant(
        3,
        "a second different report overwrites the first",
        planting.function(lifecycle, "judge_report", planting.judge(conflicts="replaces")),
        stories.other_word_on_equal_evidence,
    ),
    Plant(
        3,
        "weaker evidence replaces stronger",
        planting.function(lifecycle, "judge_report", planting.judge(conflicts="replaces")),
        stories.weaker_word_comes_later,
    ),
    Plant(
        3,
        "stronger evidence doesn't replace weaker",
        planting.function(lifecycle, "judge_report", planting.judge(replaces="conflicts")),
        stories.stronger_word_comes_later,
    ),
    Plant(
        3,
        "stronger evidence of the same is not noted",
        planting.function(lifecycle, "judge_report", planting.judge(equal_but_stronger="equal")),
        stories.same_word_from_the_device_itself,
    ),
    Plant(
        3,
        "an equal second report is an event",
        planting.function(lifecycle, "judge_report", planting.judge(equal="replaces")),
        stories.same_word_again,
    ),
    Plant(
        3,
        "the error code is not compared",
        planting.function(
            lifecycle,
            "judge_report",
            lambda right: (
                lambda status, result, code, evidence, word: right(status, result, word.error_code, evidence, word)
            ),
        ),
        stories.other_failure_code,
    ),
    Plant(
        3,
        "the result is not compared",
        planting.function(
            lifecycle,
            "judge_report",
            lambda right: lambda status, result, code, evidence, word: right(status, word.result, code, evidence, word),
        ),
        stories.other_word_on_equal_evidence,
    ),
    Plant(
        3,
        "a report after expiry is dropped",
        planting.function(reports, "report", planting.dropped_when_closed),
        stories.report_after_expiry,
    ),
    Plant(
        3,
        "a report after a cancellation is dropped",
        planting.function(reports, "report", planting.dropped_when_closed),
        stories.report_after_cancel,
    ),
    Plant(
        3,
        "previous_status is missing",
        planting.function(events, "append", planting.without_previous),
        stories.report_after_expiry,
    ),
    Plant(
        3,
        "a report keeps the server's own error",
        planting.function(
            reports,
            "move",
            lambda move: (
                lambda db, row, how, now, **c: move(
                    db, row, how, now, **{**c, "error_code": c.get("error_code") or row.error_code}
                )
            ),
        ),
        stories.expires_while_delivered,
    ),
    Plant(
        3,
        "an old stop ends a newer recording",
        planting.sql("newer_start_ran", "n > ?", "n < ? AND 0"),
        stories.old_stop_is_reported_late,
    ),
    Plant(
        3,
        "what a relay said wrongly goes on",
        planting.function(reports, "_take_back", lambda right: planting.nothing),
        stories.relay_was_wrong_that_it_records,
    ),
)
