"""Short lives of a command, each told so that one rule or another matters in it."""

from collections.abc import Callable

from tests.model.pair import Pair

Story = Callable[[Pair], object]
WEEK_AND_A_DAY_MS = 8 * 86_400_000


def offered_and_lost(p: Pair) -> None:
    n = p.create()
    p.heartbeat()
    p.heartbeat()
    p.poll()
    p.poll("key")
    p.acknowledge(n)
    p.heartbeat()


def offered_and_expired(p: Pair) -> None:
    p.create(ttl=5)
    p.heartbeat()
    p.jump("due")
    p.check()


def expires_while_delivered(p: Pair) -> None:
    n = p.create(ttl=5)
    p.acknowledge(n)
    p.jump("before")
    p.check()
    p.jump("due")
    p.check()
    p.report(n)


def expires_while_pending(p: Pair) -> None:
    n = p.create(ttl=5)
    p.jump("before")
    p.check()
    p.jump("due")
    p.check()
    p.acknowledge(n)


def acknowledged_when_due(p: Pair) -> None:
    n = p.create(ttl=5)
    p.jump("due")
    p.acknowledge(n)


def cancelled_when_due(p: Pair) -> None:
    n = p.create(ttl=5)
    p.jump("due")
    p.cancel(n)


def offered_when_due(p: Pair) -> None:
    p.create(ttl=5)
    p.jump("due")
    p.heartbeat()


def listed_when_due(p: Pair) -> None:
    p.create(ttl=5)
    p.jump("due")
    p.check_filters("pending")


def unbound_when_due(p: Pair) -> None:
    p.create(ttl=5)
    p.jump("due")
    p.unbind()


def cancelled_beside_another(p: Pair) -> None:
    p.cancel(p.create())
    p.create("trigger_upload")
    p.heartbeat()


def cancelled_and_acknowledged(p: Pair) -> None:
    n = p.create()
    p.cancel(n)
    p.acknowledge(n)
    p.acknowledge(n, in_heartbeat=True)


def acknowledged_twice(p: Pair) -> None:
    n = p.create()
    p.acknowledge(n)
    p.pass_time(1000)
    p.acknowledge(n)
    p.acknowledge(n, in_heartbeat=True)


def cancelled_after_delivery(p: Pair) -> None:
    n = p.create()
    p.acknowledge(n)
    p.cancel(n)


def start_held_back_until_after_its_stop(p: Pair) -> None:
    n = p.create()
    p.acknowledge(n)
    p.create("stop_recording")
    p.acknowledge(n)


def stop_clears_the_way(p: Pair) -> None:
    p.create()
    p.create("stop_recording")
    p.create("trigger_upload")
    p.create("stop_recording")


def stop_spares_what_is_delivered(p: Pair) -> None:
    n = p.create()
    p.acknowledge(n)
    p.create("stop_recording")
    p.report(n)


def other_word_on_equal_evidence(p: Pair) -> None:
    n = p.create()
    p.report(n, result={"recording_id": "rec_a"})
    p.report(n, result={"recording_id": "rec_b"})
    p.report(n, status="failed", code="internal")


def same_word_again(p: Pair) -> None:
    n = p.create()
    p.report(n, result={"a": 1, "b": 2})
    p.report(n, result={"b": 2, "a": 1})
    p.report(n, result={"b": 2, "a": 1}, in_heartbeat=True)


def other_failure_code(p: Pair) -> None:
    n = p.create()
    p.report(n, status="failed", code="storage_full")
    p.report(n, status="failed", code="low_battery")


def weaker_word_comes_later(p: Pair) -> None:
    n = p.create()
    p.report(n)
    p.report(n, "key", status="failed", code="internal")


def stronger_word_comes_later(p: Pair) -> None:
    n = p.create()
    p.report(n, "key", status="failed", code="internal")
    p.report(n)


def same_word_from_the_device_itself(p: Pair) -> None:
    n = p.create()
    p.report(n, "key")
    p.report(n)
    p.report(n, "key", status="failed", code="internal")


def report_after_expiry(p: Pair) -> None:
    n = p.create(ttl=2)
    p.jump("due")
    p.check()
    p.report(n, result={"recording_id": "rec_a"})


def report_after_cancel(p: Pair) -> None:
    n = p.create()
    p.cancel(n)
    p.report(n, status="failed", code="superseded")


def report_by_an_old_token(p: Pair) -> None:
    n = p.create()
    p.unbind()
    p.bind(1)
    p.report(n, "device")
    p.acknowledge(n, "old")
    p.report(n, "old")


def failed_without_an_error(p: Pair) -> None:
    p.report(p.create(), status="failed")


def five_wait_and_a_stop_and_a_reset(p: Pair) -> None:
    for _ in range(5):
        p.create("trigger_upload")
    p.create("stop_recording")
    p.heartbeat()
    p.reset()
    p.create("stop_recording")
    p.create()
    p.heartbeat()


def seq_after_a_new_binding(p: Pair) -> None:
    p.create()
    p.unbind()
    p.bind()
    p.create()
    p.heartbeat()


def reset_that_is_never_answered(p: Pair) -> None:
    p.reset()
    p.acknowledge(0)
    p.create("trigger_upload", ttl=604_800)
    p.jump("due")
    p.check()
    p.create()


def reset_by_an_old_token(p: Pair) -> None:
    p.reset()
    p.acknowledge(0)
    p.unbind(force=True)
    p.bind()
    n = p.create("trigger_upload")
    p.report(0, "old")
    p.acknowledge(n)


def same_key_twice(p: Pair) -> None:
    p.create(key="k")
    p.create(key="k")
    p.create(key="k", ttl=60)
    p.unbind()
    p.bind()
    p.create(key="k")


def a_millisecond_short(p: Pair) -> None:
    p.create(ttl=5)
    p.jump("before")
    p.check()


def vanished_for_ever(p: Pair) -> None:
    a, b = p.create(ttl=604_800), p.create("trigger_upload", ttl=604_800)
    p.acknowledge(a)
    p.heartbeat()
    p.reset()
    p.acknowledge(len(p.ids) - 1)
    p.cancel(b)
    p.pass_time(WEEK_AND_A_DAY_MS)
    p.check()


def full_queue(p: Pair) -> None:
    for _ in range(101):
        p.create("trigger_upload")
    p.create("stop_recording")
    p.reset()


def clock_stands_still(p: Pair) -> None:
    n = p.create(ttl=5)
    p.stand_still(60)
    p.heartbeat()
    p.acknowledge(n)


def old_stop_is_reported_late(p: Pair) -> None:
    stop = p.create("stop_recording")
    p.acknowledge(stop)
    p.report(p.create())
    p.report(stop)
    p.unbind()
    p.create("stop_recording")
    p.report(len(p.ids) - 1)
    p.unbind()


def stop_of_an_earlier_binding_is_reported_late(p: Pair) -> None:
    stop = p.create("stop_recording")
    p.unbind(force=True)
    p.bind()
    p.report(p.create())
    p.report(stop, "old")
    p.unbind()


def relay_was_wrong_that_it_records(p: Pair) -> None:
    n = p.create()
    p.report(n, "key", result={"recording_id": "rec_a"})
    p.unbind()
    p.report(n, status="failed", code="storage_full")
    p.unbind()


def held_by_a_relay_that_falls_silent(p: Pair) -> None:
    n = p.create(ttl=3600)
    p.relay()
    p.cancel(n)
    p.pass_time(899_999)
    p.check()
    p.pass_time(1)
    p.check()


def held_by_a_relay_that_asks_again(p: Pair) -> None:
    p.create(ttl=1000)
    p.relay()
    p.pass_time(60_000)
    p.relay()
    p.pass_time(60_000)
    p.relay()


def held_by_a_relay_and_offered_by_the_device_itself(p: Pair) -> None:
    p.create(ttl=3600)
    p.relay()
    p.heartbeat()


def held_by_a_relay_and_a_backend_that_relays(p: Pair) -> None:
    p.create(ttl=3600)
    p.poll("key")
    p.relay()


def recording_ends_by_its_longest_time(p: Pair) -> None:
    p.report(p.create(longest=60))
    p.pass_time(59_999)
    p.unbind()
    p.pass_time(1)
    p.unbind()


STORIES: tuple[Story, ...] = tuple(
    value
    for value in list(globals().values())
    if callable(value) and getattr(value, "__annotations__", None) == {"p": Pair, "return": None}
)
