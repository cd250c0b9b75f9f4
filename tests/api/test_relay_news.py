"""What a relay is told by its poll: each thing when it should hear of it, from wherever it left off, and no more."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rolltape.codes import Code
from rolltape.delivery import relay
from rolltape.wire.keys import b64url, un_b64url
from tests.api.contract_world import ContractWorld, claims, open_contract
from tests.api.relay_world import Relayed, relay_token, relayed
from tests.api.web_world import STORES, is_refused


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture
def plain(world: ContractWorld) -> Relayed:
    return relayed(world)


def heard(of: Relayed, cursor: str | None = None) -> tuple[list[str], list[str], str]:
    """The ids that are offered, those that are revoked, and the next cursor."""
    told = of.commands("" if cursor is None else f"?cursor={cursor}")
    return [offer["id"] for offer in told["commands"]], told["revoked"], told["cursor"]


def hold(of: Relayed, query: str) -> "Future[httpx2.Response]":
    """A poll that waits, and has looked already."""
    return of.world.held("GET", f"/v1/relay/commands?{query}", of.token, topic=of.device.user)


def second_device(of: Relayed) -> Relayed:
    """Another device of the same user, behind the same relay."""
    device = of.world.device()
    device.unbind(force=True)
    device.user = of.device.user
    device.bind()
    return Relayed(device, None, of.token)


def test_without_a_cursor_all_that_waits_is_told_again_and_again(plain: Relayed) -> None:
    ids = [plain.device.command("trigger_upload")["id"] for _ in range(5)]
    for _ in range(2):
        offered, revoked, _ = heard(plain)
        assert (offered, revoked) == (ids[:4], [])


def test_with_a_cursor_only_what_is_new_is_told(plain: Relayed) -> None:
    first = plain.device.command()["id"]
    offered, _, cursor = heard(plain)
    assert offered == [first]
    assert heard(plain, cursor)[:2] == ([], [])
    second = plain.device.command("trigger_upload")["id"]
    offered, _, later = heard(plain, cursor)
    assert second in offered
    assert heard(plain, later)[:2] == ([], [])
    assert heard(plain, cursor)[0] == offered  # an answer that was lost is told again


def test_a_device_without_news_is_not_told_of_again(plain: Relayed) -> None:
    other = second_device(plain)
    plain.device.command()
    _, _, cursor = heard(plain)
    fresh = other.device.command()["id"]
    assert heard(plain, cursor)[0] == [fresh]


def test_more_than_four_follow_as_they_are_taken(plain: Relayed) -> None:
    ids = [plain.device.command("trigger_upload")["id"] for _ in range(6)]
    offered, _, cursor = heard(plain)
    for id_ in offered:
        plain.ack(id_)
    assert heard(plain, cursor)[0] == ids[4:]


def test_what_was_offered_is_revoked_exactly_once_whatever_closed_it(world: ContractWorld, plain: Relayed) -> None:
    cancelled, expired, done, taken, cleared = (
        plain.device.command("trigger_upload", ttl_seconds=30)["id"],
        plain.device.command("trigger_upload", ttl_seconds=10)["id"],
        plain.device.command("trigger_upload", ttl_seconds=30)["id"],
        plain.device.command("trigger_upload", ttl_seconds=30)["id"],
        None,
    )
    _, _, cursor = heard(plain)
    cleared = plain.device.command()["id"]
    world.call("DELETE", f"{plain.device.path}/commands/{cancelled}")
    offered, revoked, cursor = heard(plain, cursor)
    assert revoked == [cancelled]
    assert cleared in offered
    plain.device.report(done)
    plain.device.ack(taken)
    stop = plain.device.command("stop_recording")["id"]
    world.pass_time(10)
    offered, revoked, cursor = heard(plain, cursor)
    assert (offered, sorted(revoked)) == ([stop], sorted([done, taken, cleared, expired]))
    plain.device.report(taken)
    plain.device.report(expired)
    assert heard(plain, cursor)[1] == []


def test_what_was_never_offered_to_a_relay_is_not_revoked(world: ContractWorld, plain: Relayed) -> None:
    _, _, cursor = heard(plain)
    unknown = plain.device.command()["id"]
    world.call("DELETE", f"{plain.device.path}/commands/{unknown}")
    assert heard(plain, cursor)[:2] == ([], [])


def test_an_unbind_revokes_what_the_relay_holds(plain: Relayed) -> None:
    held = plain.device.command()["id"]
    _, _, cursor = heard(plain)
    plain.device.unbind(force=True)
    assert heard(plain, cursor)[:2] == ([], [held])


def test_too_many_revocations_come_in_portions_and_none_is_left_out(
    plain: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "MAX_REVOKED", 3)
    _, _, cursor = heard(plain)
    ids = []
    for _ in range(8):
        ids.append(plain.device.command("trigger_upload")["id"])
        heard(plain)
        plain.device.report(ids[-1])
    told: list[str] = []
    while portion := heard(plain, cursor):
        if not portion[1]:
            break
        assert len(portion[1]) <= 3
        told += portion[1]
        cursor = portion[2]
    assert told == ids


def test_fresh_grants_come_before_those_that_were_handed_out_end(world: ContractWorld, plain: Relayed) -> None:
    plain.device.command(ttl_seconds=3600)
    told = plain.commands()
    first, cursor = told["commands"][0], told["cursor"]
    world.pass_time(299.999)
    assert heard(plain, cursor)[0] == []
    world.pass_time(0.001)
    again = plain.commands(f"?cursor={cursor}")["commands"][0]
    assert claims(again["grant_token"])["exp"] == claims(first["grant_token"])["exp"] + 300
    assert {**claims(again["grant_token"]), "exp": 0} == {**claims(first["grant_token"]), "exp": 0}


@pytest.mark.parametrize("keyed", [True, False])
def test_what_was_acknowledged_comes_again_once_no_grant_of_it_is_good_any_more(
    world: ContractWorld, keyed: bool
) -> None:
    """The link went before the answer came, and the grant ended in the device's hand: else nobody would hear more."""
    near = relayed(world, keyed=keyed)
    command = near.device.command("trigger_upload", ttl_seconds=7200)["id"]
    assert heard(near)[0] == [command]
    assert near.signed_ack(command).status_code == 200
    assert heard(near)[0] == []
    _, _, cursor = heard(near)
    world.pass_time(900)
    fresh = near.commands(f"?cursor={cursor}")["commands"]
    assert [offer["id"] for offer in fresh] == [command]
    assert claims(fresh[0]["grant_token"])["seq"] == 1
    seen = near.device.read(command)
    assert (seen["status"], seen["delivery"]["evidence"]) == ("delivered", "device_signed" if keyed else "relay")
    assert near.device.offered() == []
    assert heard(near)[0] == []
    world.pass_time(900)
    near.signed_report(command)
    assert heard(near)[0] == []


def test_how_long_grants_last_is_a_setting(tmp_path: Path) -> None:
    with open_contract(tmp_path, relay_grant_seconds=60) as world:
        plain = relayed(world)
        plain.device.command(ttl_seconds=3600)
        told = plain.commands()
        assert claims(told["commands"][0]["grant_token"])["exp"] == world.clock.now_ms() // 1000 + 60
        world.pass_time(20)
        assert len(heard(plain, told["cursor"])[0]) == 1


def test_what_a_relay_alone_holds_may_run_no_longer_than_its_grant(world: ContractWorld, plain: Relayed) -> None:
    command = plain.device.command(ttl_seconds=3600)["id"]
    heard(plain)
    world.call("DELETE", f"{plain.device.path}/commands/{command}")
    still = plain.device.read(command)["may_still_run_until"]
    assert still is not None
    world.pass_time(899)
    assert plain.device.read(command)["may_still_run_until"] == still
    world.pass_time(1)
    assert plain.device.read(command)["may_still_run_until"] is None


def test_two_relays_of_one_user_are_told_the_same(plain: Relayed) -> None:
    other = Relayed(plain.device, None, relay_token(plain.world, plain.device.user))
    command = plain.device.command()["id"]
    assert heard(plain)[0] == heard(other)[0] == [command]
    assert [plain.ack(command).status_code, other.ack(command).status_code] == [200, 200]
    assert [plain.report(command).status_code, other.report(command).status_code] == [200, 200]
    assert plain.device.story(command) == ["created", "offered", "delivered", "executed"]


# Waiting


def test_a_poll_waits_until_there_is_something(plain: Relayed) -> None:
    _, _, cursor = heard(plain)
    answer = hold(plain, f"wait=60&cursor={cursor}")
    command = plain.device.command()["id"]
    assert [offer["id"] for offer in answer.result(20).json()["commands"]] == [command]
    answer = hold(plain, f"wait=60&cursor={answer.result().json()['cursor']}")
    plain.world.call("DELETE", f"{plain.device.path}/commands/{command}")
    assert answer.result(20).json()["revoked"] == [command]


def test_a_poll_ends_by_itself_with_a_cursor_that_goes_on(plain: Relayed) -> None:
    _, _, cursor = heard(plain)
    answer = hold(plain, f"wait=5&cursor={cursor}")
    plain.world.pass_time(5)
    told = answer.result(20).json()
    assert (told["commands"], told["revoked"]) == ([], [])
    command = plain.device.command()["id"]
    assert heard(plain, told["cursor"])[0] == [command]


def test_an_offer_to_another_relay_wakes_nobody(plain: Relayed) -> None:
    plain.device.command()
    _, _, cursor = heard(plain)
    answer = hold(plain, f"wait=60&cursor={cursor}")
    heard(plain)
    plain.world.pass_time(10)
    assert not answer.done()
    plain.world.pass_time(50)
    assert answer.result(20).json()["commands"] == []


def test_a_device_that_is_bound_while_a_poll_waits_is_told_of(plain: Relayed) -> None:
    other = plain.world.device()
    other.unbind(force=True)
    other.user = plain.device.user
    answer = hold(plain, "wait=60")
    other.bind()
    plain.world.until_waits(other.id, 0)
    command = other.command()["id"]
    assert [offer["id"] for offer in answer.result(20).json()["commands"]] == [command]


def test_a_poll_that_waits_is_told_everything_anew_when_it_is_time(plain: Relayed) -> None:
    command = plain.device.command(ttl_seconds=3600)["id"]
    _, _, cursor = heard(plain)
    plain.world.pass_time(290)
    answer = hold(plain, f"wait=60&cursor={cursor}")
    plain.world.pass_time(10.1)
    assert [offer["id"] for offer in answer.result(20).json()["commands"]] == [command]


def test_a_third_poll_releases_the_oldest_which_goes_on_where_it_was(plain: Relayed) -> None:
    _, _, cursor = heard(plain)
    polls = [hold(plain, f"wait=60&cursor={cursor}") for _ in range(2)]
    last = plain.world.pool.submit(plain.call, "GET", f"/v1/relay/commands?wait=60&cursor={cursor}")
    assert polls[0].result(20).json()["cursor"] == cursor
    command = plain.device.command()["id"]
    for poll in (polls[1], last):
        assert [offer["id"] for offer in poll.result(20).json()["commands"]] == [command]


def test_a_poll_that_waits_ends_when_its_token_is_revoked(plain: Relayed) -> None:
    answer = hold(plain, "wait=60")
    plain.world.call("DELETE", f"/v1/relay-tokens?end_user_id={plain.device.user}")
    told = answer.result(20)
    assert (told.status_code, told.json()["commands"]) == (200, [])


@pytest.mark.parametrize("query", ["wait=-1", "wait=61", "wait=x", "wait=1&wait=1", "cursor="])
def test_a_poll_that_is_asked_wrongly_is_refused(plain: Relayed, query: str) -> None:
    answer = plain.call("GET", f"/v1/relay/commands?{query}")
    assert is_refused(answer, 400, Code.INVALID_REQUEST, query.partition("=")[0])


# Cursors


def test_a_cursor_goes_on_with_a_fresh_token_for_the_same_devices(plain: Relayed) -> None:
    _, _, cursor = heard(plain)
    plain.token = relay_token(plain.world, plain.device.user)
    assert heard(plain, cursor)[:2] == ([], [])


def forged(cursor: str) -> list[str]:
    """Cursors that were not given so."""
    data = un_b64url(cursor)
    changed = [b64url(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) for at in range(len(data))]
    return [*changed, b64url(data + b"\0"), b64url(data[1:]), b64url(bytes(28)), "x", "eyJhIjoxfQ", cursor + "="]


def test_a_forged_cursor_is_refused(plain: Relayed) -> None:
    _, _, cursor = heard(plain)
    for wrong in forged(cursor):
        answer = plain.call("GET", "/v1/relay/commands", params={"cursor": wrong})
        assert is_refused(answer, 400, Code.INVALID_REQUEST, "cursor")
        answer = plain.call("GET", "/v1/relay/stream", headers={"Last-Event-ID": wrong})
        assert is_refused(answer, 400, Code.INVALID_REQUEST, "Last-Event-ID")


def test_another_relays_cursor_is_refused_and_so_is_one_of_a_list(world: ContractWorld, plain: Relayed) -> None:
    other = relayed(world)
    narrow = Relayed(plain.device, None, relay_token(world, plain.device.user, device_ids=[plain.device.id]))
    plain.device.command()
    plain.device.command("trigger_upload")
    listed = world.get(f"{plain.device.path}/commands?limit=1")["next_cursor"]
    for cursor in (heard(other)[2], heard(narrow)[2], listed):
        answer = plain.call("GET", f"/v1/relay/commands?cursor={cursor}")
        assert is_refused(answer, 400, Code.INVALID_REQUEST, "cursor")
    answer = world.call("GET", f"{plain.device.path}/commands?cursor={heard(plain)[2]}")
    assert is_refused(answer, 400, Code.INVALID_REQUEST, "cursor")


def test_a_clock_that_was_set_back_holds_nothing_back(plain: Relayed) -> None:
    command = plain.device.command(ttl_seconds=604_800)["id"]
    _, _, cursor = heard(plain)

    async def back() -> None:
        plain.world.clock.step_wall(-60)

    plain.world.web.run(back())
    told: dict[str, Any] = plain.commands(f"?cursor={cursor}")
    assert [offer["id"] for offer in told["commands"]] == [command]
