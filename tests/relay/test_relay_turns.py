"""Whose turn it is, which grants are held, and which token counts: by a clock that the test holds."""

import os
from pathlib import Path

import pytest

from rolltape.relay.config import RelaySettings
from rolltape.relay.grants import MOST_OF_ONE, Grants
from rolltape.relay.server import OfferHeard, with_receipt
from rolltape.relay.token import Token, TokenEnded
from rolltape.relay.turns import IN_REACH_SEC, LEAVE_ALONE_SEC, Turns
from rolltape.testing.clock import ManualClock
from rolltape.wire import cwt
from rolltape.wire.claims import Claims
from rolltape.wire.ids import new_id
from rolltape.wire.keys import HmacKey, b64url

DEVICE = "dev_0H2bQy5fT8nWkR3mZxPc7L"


def nobody(device_id: str) -> bool:
    return False


def turns(*seen: str) -> Turns[str]:
    order: Turns[str] = Turns(60.0, 1.0, 120.0)
    for device_id in seen:
        order.seen(device_id, f"at {device_id}", 0.0)
    return order


def test_each_device_has_its_turn_before_any_has_a_second_one() -> None:
    order = turns(*(f"dev_{number:03d}" for number in range(100)))
    had = []
    for now in range(100):
        for number in range(100):
            order.seen(f"dev_{number:03d}", "", now)
        found = order.next(now, (), lambda device_id: True)
        assert found is not None
        had.append(found[0])
        order.visited(found[0], now)
    assert len(set(had)) == 100


def test_a_device_with_a_command_comes_before_those_that_wait_longer() -> None:
    order = turns("dev_a", "dev_b", "dev_c")
    found = order.next(1.0, (), lambda device_id: device_id == "dev_c")
    assert found == ("dev_c", "at dev_c")


def test_a_device_that_was_just_visited_is_due_again_only_after_a_while() -> None:
    order = turns("dev_a")
    order.visited("dev_a", 1.0)
    assert order.next(20.0, (), nobody) is None
    assert order.next(20.0, (), lambda device_id: True) is not None
    order.seen("dev_a", "", 61.0)
    assert order.next(61.0, (), nobody) is not None


def test_a_visit_that_was_broken_off_goes_on_soon_but_after_the_others() -> None:
    order = turns("dev_a", "dev_b")
    order.visited("dev_a", 1.0, has_more=True)
    assert order.next(3.0, (), nobody) == ("dev_b", "at dev_b")
    assert order.next(3.0, {"dev_b"}, nobody) == ("dev_a", "at dev_a")


def test_a_device_out_of_reach_connected_or_unknown_has_no_turn() -> None:
    order = turns("dev_a")
    assert order.next(IN_REACH_SEC + 1, (), nobody) is None
    assert order.next(1.0, {"dev_a"}, nobody) is None
    order.keep({"dev_b"})
    assert order.next(1.0, (), nobody) is None


def test_a_device_that_fails_waits_longer_each_time_and_a_good_visit_forgets_it() -> None:
    order = turns("dev_a")
    waits = []
    now = 0.0
    for _ in range(4):
        order.failed("dev_a", now)
        order.seen("dev_a", "", now)
        wait = next(tenth / 10 for tenth in range(2000) if _is_due(order, now + tenth / 10))
        waits.append(wait)
        now += wait
    assert waits == sorted(waits)
    assert waits[0] <= 1.1
    order.visited("dev_a", now)
    order.failed("dev_a", now)
    assert _is_due(order, now + 1.1)


def _is_due(order: Turns[str], now: float) -> bool:
    order.seen("dev_a", "", now)
    return order.is_someone_due(now, (), lambda device_id: True)


def test_a_device_that_sends_junk_is_left_alone() -> None:
    order = turns("dev_a")
    order.leave_alone("dev_a", 0.0)
    assert not _is_due(order, LEAVE_ALONE_SEC - 1)
    assert _is_due(order, LEAVE_ALONE_SEC)


def offer(clock: ManualClock, seq: int, type_: str = "trigger_upload", *, good_for: int = 900) -> OfferHeard:
    now = clock.now_ms() // 1000
    jti = new_id("cmd", clock.now_ms())
    claims = Claims(
        iss="0123456789abcdef",
        aud=DEVICE,
        jti=jti,
        seq=seq,
        gen=1,
        iat=now,
        nbf=now,
        exp=now + good_for,
        type=type_,
        params={},
    )
    signed = cwt.sign(claims, HmacKey("k", os.urandom(32)))
    return OfferHeard(id=jti, device_id=DEVICE, grant_cwt=b64url(signed), seq=seq, type=type_)


def test_grants_are_given_a_reset_first_then_stops_then_as_they_were_made() -> None:
    clock = ManualClock()
    grants = Grants(clock)
    types = ["start_recording", "trigger_upload", "stop_recording", "factory_reset"]
    grants.take([offer(clock, seq, type_) for seq, type_ in enumerate(types)], clock.now_ms())
    order = [grant.type for grant in grants.of(DEVICE)]
    assert order == ["factory_reset", "stop_recording", "start_recording", "trigger_upload"]


def test_no_grant_is_held_longer_than_it_is_good() -> None:
    clock = ManualClock()
    grants = Grants(clock)
    grants.take([offer(clock, 1, good_for=60), offer(clock, 2, good_for=600)], clock.now_ms())
    clock.advance(61)
    assert [grant.seq for grant in grants.of(DEVICE)] == [2]
    clock.advance(600)
    assert grants.of(DEVICE) == []


def test_what_is_called_back_is_not_given() -> None:
    clock = ManualClock()
    grants = Grants(clock)
    back: list[tuple[str, str]] = []
    grants.revoked = lambda device_id, command_id: back.append((device_id, command_id))
    one = offer(clock, 1)
    grants.take([one], clock.now_ms())
    grants.revoke([one.id, "cmd_unknown"])
    assert grants.of(DEVICE) == []
    assert back == [(DEVICE, one.id)]


def test_what_is_no_grant_is_not_held_and_no_device_holds_too_many() -> None:
    clock = ManualClock()
    grants = Grants(clock)
    junk = [OfferHeard(id="cmd_1", device_id=DEVICE, grant_cwt=text) for text in ("", "!", "AAAA", "0oRA")]
    grants.take(junk + [offer(clock, seq) for seq in range(MOST_OF_ONE + 5)], clock.now_ms())
    assert len(grants.of(DEVICE)) == MOST_OF_ONE


def settings(tmp_path: Path, **chosen: object) -> RelaySettings:
    return RelaySettings(server="http://127.0.0.1:1", spool_dir=tmp_path, **chosen)  # type: ignore[arg-type]


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("rtok_one\n")
    token = Token(settings(tmp_path, token_file=file))
    assert token.current() == "rtok_one"
    token.refuse("rtok_one")
    with pytest.raises(TokenEnded):
        token.current()
    file.write_text("rtok_two")
    assert token.current() == "rtok_two"
    file.unlink()
    assert token.current() == "rtok_two"


def test_a_gateway_without_a_token_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(ValueError, match="empty"):
        Token(settings(tmp_path, token_file=tmp_path / "token"))
    for chosen in ({}, {"token": "a", "token_file": tmp_path / "token"}):
        with pytest.raises(ValueError, match="relay token"):
            settings(tmp_path, **chosen)


def test_a_receipt_goes_beside_what_it_signs_and_changes_no_byte_of_it() -> None:
    body = b'{"n": 1.50, "deep": {"b":1,"a":[ ]}, "receipt":"mine"}'
    sent = with_receipt(body, b"\x01")
    assert sent == b'{"n":1.50,"deep":{"b":1,"a":[ ]},"receipt":"AQ"}'
    assert with_receipt(b"{}", None) == b"{}"
    for junk in (b"", b"[]", b"[" * 100_000, b'{"a":', b"\xff"):
        with pytest.raises(ValueError, match="JSON"):
            with_receipt(junk, None)
