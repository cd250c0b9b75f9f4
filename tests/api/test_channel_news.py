"""Two routes at once: what happens to an offer elsewhere, and what a device resumes with."""

from collections.abc import Iterator
from typing import Any

import pytest

from rolltape.store.postgres.trouble import unavailable
from tests.api.channel_world import Frame, Live, offers, sweep
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract
from tests.api.web_world import STORES


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


@pytest.fixture
def live(world: ContractWorld, device: BoundDevice) -> Iterator[Live]:
    live = Live(world, device.token)
    live.hello()
    yield live
    live.close()


def offered(device: BoundDevice, live: Live, ttl_seconds: int = 300) -> str:
    """A new command, which the channel has offered."""
    id_ = str(device.command(ttl_seconds=ttl_seconds)["id"])
    assert live.answer("offer")["command"]["id"] == id_
    return id_


def revoked(id_: str, status: str | None) -> Frame:
    return {"type": "revoked", "id": id_, "status": status}


def test_every_open_route_is_woken_and_each_first_offer_is_in_the_history(
    world: ContractWorld, device: BoundDevice, live: Live
) -> None:
    poll = device.hold_poll()
    command = offered(device, live)
    assert [offer["id"] for offer in poll.result(20).json()["commands"]] == [command]
    assert device.offered() == [command]
    assert device.story(command) == ["created", "offered", "offered", "offered"]


@pytest.mark.parametrize("way", ["heartbeat", "call", "backend"])
def test_the_first_acknowledgement_wins_and_the_channel_learns_of_it(
    world: ContractWorld, device: BoundDevice, live: Live, way: str
) -> None:
    command = offered(device, live)
    if way == "heartbeat":
        device.heartbeat(acks=[command])
    else:
        device.ack(command, device.token if way == "call" else world.web.key)
    assert live.so_far() == [revoked(command, "delivered")]
    route = {"heartbeat": "heartbeat", "call": "channel", "backend": "relay"}[way]
    assert device.read(command)["delivery"]["route"] == route
    assert live.ack(command)["type"] == "go"
    assert device.read(command)["delivery"]["route"] == route
    world.pass_time(11)
    sweep(world)
    assert live.so_far() == []


def test_what_the_channel_acknowledged_is_not_offered_on_another_route(device: BoundDevice, live: Live) -> None:
    command = offered(device, live)
    live.ack(command)
    assert device.offered() == []
    assert device.poll()["commands"] == []


def test_a_cancelled_offer_is_revoked(world: ContractWorld, device: BoundDevice, live: Live) -> None:
    command = offered(device, live)
    world.call("DELETE", f"{device.path}/commands/{command}")
    assert live.so_far() == [revoked(command, "cancelled")]
    assert live.ack(command)["status"] == "cancelled"


def test_a_stop_revokes_the_starts_that_it_clears_away_and_comes_next(device: BoundDevice, live: Live) -> None:
    first, second = offered(device, live), offered(device, live)
    live.ack(first)
    stop = device.command("stop_recording")["id"]
    heard = live.so_far()
    assert heard[0] == revoked(second, "cancelled")
    assert offers(heard) == [stop]


@pytest.mark.parametrize("by_whom", ["the worker", "a reader", "a writer"])
def test_an_offer_that_expires_is_revoked_whoever_notices(
    world: ContractWorld, device: BoundDevice, live: Live, by_whom: str
) -> None:
    pending, taken = offered(device, live, ttl_seconds=5), offered(device, live, ttl_seconds=5)
    live.ack(taken)
    world.pass_time(5)
    if by_whom == "the worker":
        world.expire()
    elif by_whom == "a reader":
        device.read(pending)
    else:
        world.device().command()
    assert live.so_far() == [revoked(pending, "expired"), revoked(taken, "expired")]


def test_what_was_reported_elsewhere_is_revoked_once(device: BoundDevice, live: Live) -> None:
    pending, taken = offered(device, live), offered(device, live)
    live.ack(taken)
    device.report(pending)
    device.heartbeat(results=[{"id": taken, "status": "failed"}])
    assert live.so_far() == [revoked(pending, "executed"), revoked(taken, "failed")]


def test_an_offer_is_made_again_after_ten_seconds_without_a_word(
    world: ContractWorld, device: BoundDevice, live: Live
) -> None:
    command = offered(device, live)
    for seconds, expected in ((9, []), (1, [command]), (9, []), (1, [command])):
        world.pass_time(seconds)
        sweep(world)
        assert offers(live.so_far()) == expected
    assert device.read(command)["delivery"]["offers"] == 3
    assert device.story(command) == ["created", "offered"]


def test_a_stop_is_offered_at_once_also_while_four_offers_are_not_acknowledged(
    world: ContractWorld, device: BoundDevice, live: Live
) -> None:
    made = [device.command("trigger_upload")["id"] for _ in range(6)]
    assert offers(live.so_far()) == made[:4]
    stop = device.command("stop_recording")["id"]
    assert offers(live.so_far()) == [stop]
    newer = device.command("stop_recording")["id"]
    heard = live.so_far()
    assert heard[0] == revoked(stop, "cancelled")
    assert offers(heard) == [newer]
    assert live.so_far() == []
    world.pass_time(10)
    sweep(world)
    assert offers(live.so_far()) == [newer, *made[:3]]


def test_a_device_that_connects_again_with_nothing_is_offered_all(
    world: ContractWorld, device: BoundDevice, live: Live
) -> None:
    command = offered(device, live)
    live.line.socket.close()
    again = Live(world, device.token)
    again.hello()
    assert offers(again.so_far()) == [command]
    again.close()


def test_a_device_says_what_it_has_and_hears_what_stands_no_more(
    world: ContractWorld, device: BoundDevice, live: Live
) -> None:
    held, taken, gone, done, new = [device.command("trigger_upload")["id"] for _ in range(5)]
    live.ack(taken)
    live.report(done)
    live.close()
    world.call("DELETE", f"{device.path}/commands/{gone}")
    foreign = world.device().command()["id"]
    again = Live(world, device.token)
    again.hello(have=[held, taken, gone, done, foreign, "nonsense", ""])
    heard = again.so_far()
    assert heard[:-1] == [
        revoked(gone, "cancelled"),
        revoked(done, "executed"),
        revoked(foreign, None),
        revoked("nonsense", None),
        revoked("", None),
    ]
    assert offers(heard) == [new]
    world.pass_time(10)
    sweep(world)
    assert offers(again.so_far()) == [held, new]
    world.call("POST", f"{device.path}/unbind", json={"force": True})
    again.close()


def test_what_a_device_has_takes_no_room_from_what_is_new(world: ContractWorld, device: BoundDevice) -> None:
    made = [device.command("trigger_upload")["id"] for _ in range(6)]
    live = Live(world, device.token)
    live.hello(have=made[:5])
    assert offers(live.so_far()) == made[5:]
    live.ack(made[0])
    assert live.so_far() == []
    live.close()


def test_a_heartbeat_over_http_offers_what_the_channel_has_offered(device: BoundDevice, live: Live) -> None:
    command = offered(device, live)
    assert device.offered() == [command]
    assert device.read(command)["delivery"]["route"] == "heartbeat"
    assert live.ack(command)["type"] == "go"
    assert device.read(command)["delivery"]["route"] == "channel"


def refuse_writes(patch: pytest.MonkeyPatch) -> None:
    """Whichever store it is, it can't write at the moment."""

    async def wrong(*facts: Any, **named: Any) -> None:
        raise unavailable(ConnectionResetError())

    patch.setattr("rolltape.store.sqlite.writer.MAX_WAITING", 0)
    patch.setattr("rolltape.store.postgres.lane.MAX_WAITING", 0)
    patch.setattr("rolltape.store.postgres.connections.PgConnections.write", wrong)


def test_a_write_that_the_store_refuses_is_an_error_and_the_offer_comes_later(
    world: ContractWorld, device: BoundDevice, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = offered(device, live)
    with monkeypatch.context() as full:
        refuse_writes(full)
        said = live.ack(command)
        assert (said["type"], said["code"], said["in"], said["id"]) == ("error", "unavailable", "ack", command)
        said = live.report(command)
        assert said["error"]["code"] == "unavailable"
        world.pass_time(10)
        sweep(world)
        assert live.so_far() == []
    sweep(world)
    assert offers(live.so_far()) == [command]
    assert live.ack(command)["type"] == "go"


def test_a_hello_that_can_not_be_taken_at_the_moment_is_told_to_try_later(
    world: ContractWorld, device: BoundDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Live(world, device.token)
    with monkeypatch.context() as full:
        refuse_writes(full)
        live.say(type="hello", v=1, replay_state_lost=True)
        said = live.next()
        assert (said["type"], said["code"], said["in"]) == ("error", "unavailable", "hello")
        assert live.ended().code == 1013
    live.close()
    again = Live(world, device.token)
    assert again.hello(replay_state_lost=True)["seq_floor"] == 1
    again.close()
