"""What the device behind a channel has in hand."""

from rolltape.delivery.ledger import QUIET_SEC, Ledger
from rolltape.wire.channel import MAX_HAVE
from rolltape.wire.heartbeat import MAX_OFFERS


def test_a_fresh_ledger_has_room_and_nothing_to_tell() -> None:
    ledger = Ledger()
    assert (ledger.room(0), ledger.ids(), ledger.quiet(0), ledger.is_due(0)) == (MAX_OFFERS, (), (), False)
    assert ledger.settle({}) == []


def test_an_offer_takes_room_until_it_is_acknowledged_dropped_or_due() -> None:
    ledger = Ledger()
    ledger.offered(["a", "b", "c"], 0)
    assert (ledger.room(5), ledger.quiet(5)) == (MAX_OFFERS - 3, ("a", "b", "c"))
    ledger.take("a")
    ledger.drop("b")
    assert (ledger.room(5), ledger.quiet(5)) == (MAX_OFFERS - 1, ("c",))
    assert [ledger.is_due(at) for at in (QUIET_SEC - 0.1, QUIET_SEC)] == [False, True]
    assert (ledger.room(QUIET_SEC), ledger.quiet(QUIET_SEC)) == (MAX_OFFERS, ())
    ledger.offered(["c"], QUIET_SEC)
    assert not ledger.is_due(QUIET_SEC)


def test_what_a_device_resumes_with_takes_no_room_and_is_due_in_time() -> None:
    ledger = Ledger()
    ledger.resume(["a"], 0)
    assert (ledger.room(0), ledger.quiet(0), ledger.is_due(QUIET_SEC)) == (MAX_OFFERS, ("a",), True)


def test_news_is_what_stands_no_more_and_is_told_once() -> None:
    ledger = Ledger()
    ledger.offered(["offered", "elsewhere", "gone"], 0)
    ledger.resume(["resumed", "known", "foreign"], 0)
    ledger.take("taken")
    stands = {"offered": "pending", "elsewhere": "delivered", "gone": "cancelled"}
    stands |= {"resumed": "pending", "known": "delivered", "taken": "expired"}
    news = [("elsewhere", "delivered"), ("gone", "cancelled"), ("foreign", None), ("taken", "expired")]
    assert ledger.settle(stands) == news  # type: ignore[arg-type]
    assert ledger.settle(stands) == []  # type: ignore[arg-type]
    later = dict.fromkeys(("offered", "elsewhere", "resumed", "known"), "executed")
    told = dict(ledger.settle(later))  # type: ignore[arg-type]
    assert told == later
    assert ledger.ids() == ()


def test_what_is_offered_again_after_it_was_resumed_is_one_thing() -> None:
    ledger = Ledger()
    ledger.resume(["a"], 0)
    ledger.offered(["a"], QUIET_SEC)
    assert not ledger.is_due(QUIET_SEC)
    assert ledger.settle({"a": "cancelled"}) == [("a", "cancelled")]


def test_no_device_makes_it_remember_without_end() -> None:
    ledger = Ledger()
    for n in range(2 * MAX_HAVE):
        ledger.take(str(n))
    assert len(ledger.ids()) == MAX_HAVE
